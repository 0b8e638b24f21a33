# `lab news`: what the mirror serves that the lab does not have, so that a new kernel is noticed.
#
# Of each suite and flavour that a series is of: every version that is listed and that no series covers, and of each
# series in the cache whether a newer release is listed. Exits 1 when there is any.
# shellcheck shell=bash source-path=SCRIPTDIR

# shellcheck source=kernel.sh
source "$LAB_SRC/lib/kernel.sh"

news() {
    [[ $# -eq 0 ]] || die "usage: lab news"
    local suite flavour series found=0
    while read -r suite flavour; do
        use_lists_of_suite "$suite" "${flavour##*-}"
        refresh_lists
        news_of_suite "$suite" "$flavour" && found=1
    done < <(all_series | awk '{ print $4, $3 }' | sort -u)
    for series in $(all_series | awk '{ print $1 }'); do
        news_of_series "$series" && found=1
    done
    ((found)) || echo "nothing new"
    return "$found"
}

all_series() { grep -vE '^(#|$)' "$LAB_SRC/kernels.tsv"; }

# news_of_suite SUITE FLAVOUR: the versions (6.12, 7.3) of which no series names the suite or any other.
news_of_suite() {
    local version known newest status=1
    while read -r version; do
        known=$(all_series | awk -v version="$version" -v flavour="$2" '$2 == version && $3 == flavour' | head -n 1)
        [[ -z $known ]] || continue
        newest=$(package_names linux-image- | releases_among "$version" "$2" '' | head -n 1)
        # The newest of all is what a series without a version takes.
        [[ $newest != "$(newest_of_suite "$1" "$2")" ]] || continue
        echo "$1: $newest ($(served "$newest")) is in no series"
        status=0
    done < <(package_names linux-image- | releases_among newest "$2" '' | sed -E 's/^([0-9]+\.[0-9]+)\..*/\1/' | sort -uV)
    return "$status"
}

# newest_of_suite SUITE FLAVOUR: the release that a series of that suite without a version takes, if there is one.
newest_of_suite() {
    local series
    series=$(all_series | awk -v suite="$1" -v flavour="$2" '$2 == "newest" && $3 == flavour && $4 == suite { print $1 }')
    [[ -z $series ]] || listed_releases "$series" | head -n 1
}

# served RELEASE: in words, what there is of it.
served() {
    if [[ -n $(candidate "linux-image-$1-dbg") ]]; then
        echo "with debug symbols"
    else
        echo "the image only"
    fi
}

# news_of_series SERIES: of a kernel in the cache, whether there is a newer release.
news_of_series() {
    local have=$LAB_DIR/kernels/$1/release newest
    [[ -e $have ]] || return 1
    use_lists_of "$1"
    newest=$(listed_releases "$1" | head -n 1)
    [[ -n $newest && $newest != "$(cat "$have")" ]] || return 1
    echo "$1: $newest is listed, the cache has $(cat "$have")"
}
