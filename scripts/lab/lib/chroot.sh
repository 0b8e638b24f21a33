# `lab chroot SUITE`: a chroot of a newer suite in the cache, with the compiler, also the one for arm64, and the libraries
# that the build programs of that suite's kernels need.
# shellcheck shell=bash source-path=SCRIPTDIR

# shellcheck source=apt.sh
source "$LAB_SRC/lib/apt.sh"

CHROOT_PACKAGES=gcc,libc6-dev,make,libelf1t64,libssl3t64,gcc-aarch64-linux-gnu

chroot_of() {
    [[ $# -eq 1 ]] || die "usage: lab chroot SUITE"
    with_lock "chroot-$1" make_chroot "$1"
    echo "$LAB_DIR/chroots/$1"
}

make_chroot() {
    local suite=$1 root=$LAB_DIR/chroots/$1
    # One that was made without the compiler for arm64 is made anew.
    [[ ! -e $root/usr/bin/aarch64-linux-gnu-gcc ]] || return 0
    need_root "lab chroot"
    install_missing "lab chroot" debootstrap
    say "making a chroot of $suite"
    rm -rf "$root" "$root.new"
    mkdir -p "$LAB_DIR/chroots"
    debootstrap --variant=minbase --include="$CHROOT_PACKAGES" "$suite" "$root.new" "$(mirror)" \
        >"$LAB_DIR/chroots/$suite.log" 2>&1 || {
        tail -n 5 "$LAB_DIR/chroots/$suite.log" >&2
        die "no chroot of $suite could be made"
    }
    rm -rf "$root.new"/var/cache/apt/archives/*.deb
    mv "$root.new" "$root"
}

# in_chroot ROOT DIRECTORY COMMAND...: runs it in the chroot, where DIRECTORY is at the same place as outside; objtool
# reads /proc. Nothing stays mounted: the mounts end with the command.
in_chroot() {
    local root=$1 directory=$2
    shift 2
    mkdir -p "$root$directory"
    # shellcheck disable=SC2016 # the inner shell's arguments
    unshare --mount sh -c \
        'mount --bind "$1" "$0$1" && mount -t proc proc "$0/proc" && root=$0 && shift && exec chroot "$root" "$@"' \
        "$root" "$directory" "$@"
}
