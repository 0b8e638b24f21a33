# `lab makedumpfile`: a makedumpfile that knows newer kernels and more compressions than Debian 12's, in the cache.
#
# Built from Debian 13's source package with lzo, snappy and zstd: no Debian build has snappy. Where the mirror does
# not serve the source, Debian 13's program is taken, which runs on Debian 12; lib/recompress.py then stands in for
# snappy. Both come from the mirror this machine uses, with an apt state of its own: the machine's lists stay as they
# are. Leaves $LAB_DIR/makedumpfile.
# shellcheck shell=bash source-path=SCRIPTDIR

# shellcheck source=apt.sh
source "$LAB_SRC/lib/apt.sh"

MAKEDUMPFILE_SUITE=trixie
MAKEDUMPFILE_PACKAGES=(
    dpkg-dev gcc libc6-dev make
    libelf-dev libdw-dev libbz2-dev zlib1g-dev liblzo2-dev libsnappy-dev libzstd-dev
)

makedumpfile() {
    [[ $# -eq 0 ]] || die "usage: lab makedumpfile"
    with_lock makedumpfile make_makedumpfile
    echo "$LAB_DIR/makedumpfile"
}

make_makedumpfile() {
    if [[ ! -x $LAB_DIR/makedumpfile ]]; then
        local new=$LAB_DIR/.makedumpfile.new
        rm -rf "$new"
        mkdir -p "$new"
        use_suite "$MAKEDUMPFILE_SUITE" "deb deb-src"
        refresh_lists || die "the package lists of $MAKEDUMPFILE_SUITE could not be fetched"
        build_makedumpfile "$new" || {
            say "not built: taking the program of $MAKEDUMPFILE_SUITE, which has no snappy"
            fetch_makedumpfile "$new"
        }
        "$new/makedumpfile" -v >/dev/null 2>&1 || die "$MAKEDUMPFILE_SUITE's makedumpfile does not run here"
        mv "$new/makedumpfile" "$LAB_DIR/makedumpfile"
        rm -rf "$new"
    fi
    say "$("$LAB_DIR/makedumpfile" -v 2>&1 | head -n 1)"
}

build_makedumpfile() {
    local new=$1
    say "fetching the source of makedumpfile"
    (cd "$new" && apt-get "${APT_OPTIONS[@]}" -qq source --download-only makedumpfile >&2) || return 1
    install_missing "lab makedumpfile" "${MAKEDUMPFILE_PACKAGES[@]}"
    say "building makedumpfile"
    {
        dpkg-source --no-check -x "$new"/makedumpfile_*.dsc "$new/source" \
            && make -C "$new/source" LINKTYPE=dynamic USELZO=on USESNAPPY=on USEZSTD=on makedumpfile
    } >"$new/log" 2>&1 || {
        tail -n 5 "$new/log" >&2
        return 1
    }
    mv "$new/source/makedumpfile" "$new/makedumpfile"
}

fetch_makedumpfile() {
    local new=$1
    download "$new" makedumpfile || die "$MAKEDUMPFILE_SUITE's makedumpfile could not be fetched"
    dpkg-deb -x "$new"/makedumpfile_*.deb "$new/tree"
    mv "$new/tree/usr/bin/makedumpfile" "$new/makedumpfile"
}
