# Helpers shared by all parts of the lab: messages, the cache, locks.
# shellcheck shell=bash

LAB_DIR=${VMCORE_LAB_DIR:-$HOME/.cache/vmcore-thp/lab}
export LAB_DIR
LAB_STARTED=$SECONDS

# say MESSAGE: progress for the person who waits, with the seconds since the start.
say() {
    printf 'lab %3ds: %s\n' $((SECONDS - LAB_STARTED)) "$*" >&2
}

die() {
    printf 'lab: error: %s\n' "$*" >&2
    exit 1
}

need_root() {
    [[ $(id -u) -eq 0 ]] || die "'$1' must run as root"
}

# missing_packages PACKAGE...: those of them that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed \
            || echo "$package"
    done
}

# install_missing WHO PACKAGE...: installs what is not there yet.
install_missing() {
    local who=$1 missing
    shift
    mapfile -t missing < <(missing_packages "$@")
    if ((${#missing[@]} == 0)); then
        say "all packages are installed"
        return
    fi
    need_root "$who"
    say "installing ${missing[*]}"
    apt-get update -qq >&2
    # kexec-tools would ask whether it may take over reboots.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# with_lock NAME COMMAND...: runs COMMAND while holding a lock, so that two labs on
# one machine never unpack or build the same thing at once.
with_lock() {
    local name=$1
    shift
    mkdir -p "$LAB_DIR/locks"
    exec {lock_fd}>"$LAB_DIR/locks/$name"
    flock "$lock_fd"
    "$@"
    exec {lock_fd}>&-
}

# machine_of SERIES: Debian's name of the machine that its kernel is for.
machine_of() {
    local flavour
    flavour=$(kernel_field "$1" 3)
    # Behind it may be the size of the kernel's pages.
    flavour=${flavour%-[0-9]*k}
    echo "${flavour##*-}"
}

# kernel_field SERIES COLUMN: one value from kernels.tsv
# (2 version, 3 flavour, 4 suite, 5 level, 6 what).
kernel_field() {
    awk -F'\t' -v series="$1" -v column="$2" \
        '$1 == series { print $column; found = 1 } END { exit !found }' "$LAB_SRC/kernels.tsv" \
        || die "no kernel series '$1' in kernels.tsv ('lab list' shows them)"
}
