# Sourced by scripts that have makedumpfile write a dump again; they define `die` and `work`, a directory. Sets
# `makedumpfile` to the program of `lab makedumpfile`.
# shellcheck shell=bash

encode_lib=$(dirname "${BASH_SOURCE[0]}")
# shellcheck disable=SC2154 # work is the sourcing script's
makedumpfile=$("$encode_lib/../lab" makedumpfile 2>"$work/makedumpfile.log") ||
    die "$(tail -n 1 "$work/makedumpfile.log")"

# encode OPTION... IN OUT...: by makedumpfile, with its own words when it fails. `-p`, if given, is the first option.
encode() {
    if [[ $1 == -p ]] && ! "$makedumpfile" -v 2>&1 | grep -q '^snappy[[:space:]]*enabled'; then
        shift
        encode_snappy "$@"
        return
    fi
    "$makedumpfile" --message-level 1 "$@" >"$work/makedumpfile.log" 2>&1 ||
        die "makedumpfile $* failed: $(tail -n 1 "$work/makedumpfile.log")"
}

# encode_snappy OPTION... IN OUT: plain pages by makedumpfile, which lib/recompress.py compresses.
encode_snappy() {
    local out=${*: -1}
    encode "${@:1:$#-1}" "$work/plain"
    python3 "$encode_lib/recompress.py" "$work/plain" "$out" >"$work/makedumpfile.log" 2>&1 ||
        die "recompress.py failed: $(tail -n 1 "$work/makedumpfile.log")"
    rm "$work/plain"
}
