# Packages of other suites than the machine's own, from the mirror that the machine uses, with apt states of the lab's
# own: the machine's sources and lists stay as they are.
# shellcheck shell=bash

# What every apt command of the lab gets: nothing for the machine's own lists, a state of the lab's for other suites.
APT_OPTIONS=()

# use_lists_of_suite SUITE [MACHINE]: the machine's own lists, with its updates, where they are of that suite and machine.
use_lists_of_suite() {
    local machine=${2:-$(dpkg --print-architecture)}
    APT_OPTIONS=()
    # shellcheck source=/dev/null
    [[ $machine:$1 == "$(dpkg --print-architecture):$(. /etc/os-release && echo "$VERSION_CODENAME")" ]] \
        || use_suite "$1" deb "$machine"
}

# use_suite SUITE [TYPES [MACHINE]]: looks only at SUITE; its lists are fetched the first time.
use_suite() {
    local suite=$1 machine=${3:-$(dpkg --print-architecture)} state=$LAB_DIR/apt/$1
    [[ $machine == "$(dpkg --print-architecture)" ]] || state+=-$machine
    mkdir -p "$state"/{lists,cache/archives}/partial
    apt_source "$suite" "${2:-deb}" >"$state/list.sources"
    APT_OPTIONS=(
        -o APT::Sandbox::User=root -o Acquire::Languages=none
        -o APT::Architecture="$machine" -o APT::Architectures="$machine"
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Dir::Etc::sourcelist="$state/list.sources" -o Dir::Etc::sourceparts=-
        -o Dir::State::lists="$state/lists" -o Dir::Cache="$state/cache" -o Dir::State::status=/dev/null
    )
    [[ -n $(find "$state/lists" -maxdepth 1 -name '*_Packages*' -print -quit) ]] || refresh_lists
}

refresh_lists() {
    ((${#APT_OPTIONS[@]})) || need_root "lab"
    say "refreshing the package lists"
    apt-get "${APT_OPTIONS[@]}" update -qq >&2
}

mirror() {
    local uri
    # shellcheck disable=SC2016 # apt's variables, not the shell's
    uri=$(apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(IDENTIFIER)' \
        | awk -F'|' '$2 == "Debian" && $3 == "Debian" && $4 == "Packages" { print $1; exit }')
    [[ -n $uri ]] || die "found no Debian mirror among this machine's apt sources"
    echo "$uri"
}

# Backports and older suites are served next to the suite itself.
apt_source() {
    cat <<-SOURCE
	Types: $2
	URIs: $(mirror)
	Suites: $1
	Components: main
	Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	SOURCE
}

# candidate PACKAGE: the version apt would install, or nothing.
candidate() {
    apt-cache "${APT_OPTIONS[@]}" policy "$1" | sed -n 's/^  Candidate: //p' | grep -vx '(none)' || true
}

# package_names PREFIX: of all packages that begin so.
package_names() {
    apt-cache "${APT_OPTIONS[@]}" pkgnames "$1"
}

# download DIRECTORY PACKAGE[=VERSION]
download() {
    (cd "$1" && apt-get "${APT_OPTIONS[@]}" download -qq -o APT::Sandbox::User=root "$2" >&2)
}
