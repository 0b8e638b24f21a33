# `lab makedumpfile`: a newer makedumpfile than Debian 12's, in the cache: it can compress with zstd.
#
# Debian 13's program runs on Debian 12. It comes from the mirror this machine uses, with an apt state of
# its own: the machine's lists stay as they are. Leaves $LAB_DIR/makedumpfile. No Debian build has snappy:
# for that there is lib/recompress.py.
# shellcheck shell=bash source-path=SCRIPTDIR

# shellcheck source=kernel.sh
source "$LAB_SRC/lib/kernel.sh"

MAKEDUMPFILE_SUITE=trixie

makedumpfile() {
    [[ $# -eq 0 ]] || die "usage: lab makedumpfile"
    with_lock makedumpfile fetch_makedumpfile
    echo "$LAB_DIR/makedumpfile"
}

fetch_makedumpfile() {
    if [[ ! -x $LAB_DIR/makedumpfile ]]; then
        local new=$LAB_DIR/.makedumpfile.new
        rm -rf "$new"
        mkdir -p "$new"/apt/{lists,cache/archives}/partial
        say "fetching makedumpfile from $MAKEDUMPFILE_SUITE"
        download_makedumpfile "$new" || die "$MAKEDUMPFILE_SUITE's makedumpfile could not be fetched"
        dpkg-deb -x "$new"/makedumpfile_*.deb "$new/tree"
        "$new/tree/usr/bin/makedumpfile" -v >/dev/null 2>&1 || die "$MAKEDUMPFILE_SUITE's makedumpfile does not run here"
        mv "$new/tree/usr/bin/makedumpfile" "$LAB_DIR/makedumpfile"
        rm -rf "$new"
    fi
    say "$("$LAB_DIR/makedumpfile" -v 2>&1 | head -n 1)"
}

download_makedumpfile() {
    local new=$1
    write_apt_source "$MAKEDUMPFILE_SUITE" >"$new/apt/list.sources"
    local -a apt=(apt-get -qq -o APT::Sandbox::User=root
        -o Dir::Etc::sourcelist="$new/apt/list.sources" -o Dir::Etc::sourceparts=-
        -o Dir::State::lists="$new/apt/lists" -o Dir::Cache="$new/apt/cache")
    "${apt[@]}" update >&2 && (cd "$new" && "${apt[@]}" download makedumpfile >&2)
}
