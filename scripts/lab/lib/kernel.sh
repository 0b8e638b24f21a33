# `lab kernel SERIES`: fetches one distribution kernel, unpacked into the cache.
#
# Leaves in $LAB_DIR/kernels/SERIES:
#   release             what `uname -r` says in it
#   vmlinux             the whole debug vmlinux: DWARF, BTF, ORC
#   vmlinuz             the image that is booted
#   lib/modules/...     its modules
#   build               the headers, ready for `make -C build M=...`
# Nothing is installed into the system.
# shellcheck shell=bash

kernel() {
    [[ $# -eq 1 ]] || die "usage: lab kernel SERIES"
    local series=$1
    kernel_field "$series" 2 >/dev/null
    with_lock "kernel-$series" fetch_kernel "$series"
    echo "$LAB_DIR/kernels/$series"
}

fetch_kernel() {
    local series=$1 root=$LAB_DIR/kernels/$1
    if [[ -e $root/vmlinux ]]; then
        say "kernel $series is $(cat "$root/release")"
        return
    fi
    make_sure_listed "$series"
    local release
    # Lists that are older than what the mirror still serves name nothing that can be had.
    release=$(download_newest "$series") \
        || { refresh_lists && release=$(download_newest "$series"); } \
        || die "no kernel of series $series could be fetched from this machine's mirrors"
    unpack_kernel "$series" "$release"
    say "kernel $series is $release"
}

# download_newest SERIES: downloads the newest release that can be had, and prints it.
download_newest() {
    local series=$1 release
    for release in $(listed_releases "$series"); do
        say "fetching $release"
        if download_kernel "$series" "$release"; then
            echo "$release"
            return 0
        fi
        say "$release is listed but not served whole"
    done
    return 1
}

refresh_lists() {
    need_root "lab kernel"
    say "refreshing the package lists"
    apt-get update -qq >&2
}

# listed_releases SERIES: releases whose debug symbols are listed, newest first. A
# release is what stands between linux-image- and -dbg: 6.1.0-56-amd64 or 6.12.117+deb12-amd64,
# and not 6.1.0-56-rt-amd64, which is another flavour.
listed_releases() {
    local version flavour
    version=$(kernel_field "$1" 2)
    flavour=$(kernel_field "$1" 3)
    apt-cache pkgnames "linux-image-$version." \
        | sed -nE "s/^linux-image-(${version//./\\.}\.[^-]*(-[0-9][^-]*)?-$flavour)-dbg\$/\1/p" \
        | sort -rV
}

# make_sure_listed SERIES: refreshes the package lists, and adds an apt source for the
# series' suite, if without that no release of it is listed.
make_sure_listed() {
    local series=$1 suite
    [[ -z $(listed_releases "$series") ]] || return 0
    refresh_lists
    [[ -z $(listed_releases "$series") ]] || return 0
    suite=$(kernel_field "$series" 4)
    say "adding an apt source for $suite"
    write_apt_source "$suite" >"/etc/apt/sources.list.d/vmcore-thp-lab-$suite.sources"
    refresh_lists
}

# write_apt_source SUITE [TYPES]: the mirror is the one this machine already uses, whatever
# that is; backports and older suites are served next to the suite itself.
write_apt_source() {
    local uri
    # shellcheck disable=SC2016 # apt's variables, not the shell's
    uri=$(apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(IDENTIFIER)' \
        | awk -F'|' '$2 == "Debian" && $3 == "Debian" && $4 == "Packages" { print $1; exit }')
    [[ -n $uri ]] || die "found no Debian mirror among this machine's apt sources"
    cat <<-SOURCE
	# Added by the vmcore-thp lab.
	Types: ${2:-deb}
	URIs: $uri
	Suites: $1
	Components: main
	Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	SOURCE
}

# candidate PACKAGE: the version apt would install, or nothing.
candidate() {
    apt-cache policy "$1" | sed -n 's/^  Candidate: //p' | grep -vx '(none)' || true
}

# image_package RELEASE VERSION: the image of the same version as the debug symbols. The
# unsigned one is built together with them, so it is the most likely to be served.
image_package() {
    local package
    for package in "linux-image-$1-unsigned" "linux-image-$1"; do
        if [[ $(candidate "$package") == "$2" ]]; then
            echo "$package=$2"
            return
        fi
    done
    return 1
}

# download_kernel SERIES RELEASE: fails when one of the packages is not listed or not
# served. The small ones go first: they fail fast.
download_kernel() {
    local debs=$LAB_DIR/kernels/.$1.debs release=$2 version image support package
    version=$(candidate "linux-image-$release-dbg")
    image=$(image_package "$release" "$version") || return 1
    mapfile -t support < <(build_dependencies "linux-headers-$release")
    ((${#support[@]})) || return 1
    rm -rf "$debs"
    mkdir -p "$debs"
    for package in "linux-headers-$release=$version" "${support[@]}" "$image" \
        "linux-image-$release-dbg=$version"; do
        (cd "$debs" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2) || return 1
    done
}

# What `make` needs beside the headers themselves: the part that all flavours share,
# and the build's own programs (objtool, modpost).
build_dependencies() {
    apt-cache show --no-all-versions "$1" 2>/dev/null \
        | sed -n 's/^Depends: //p' | tr ',|' '\n' | sed 's/(.*//; s/ //g' \
        | grep -E '^linux-(headers-.*-common(-rt)?|kbuild-.*)$'
}

unpack_kernel() {
    local series=$1 release=$2
    local debs=$LAB_DIR/kernels/.$1.debs root=$LAB_DIR/kernels/$1 new=$LAB_DIR/kernels/.$1.new
    say "unpacking $release"
    rm -rf "$new" "$root"
    mkdir -p "$new/tree"
    local deb
    for deb in "$debs"/*.deb; do
        case $deb in
            # Of the debug symbols (gigabytes unpacked) only vmlinux is wanted.
            *-dbg_*) dpkg-deb --fsys-tarfile "$deb" \
                | tar -x -C "$new" --strip-components=5 --wildcards "*/boot/vmlinux-$release" ;;
            *) dpkg-deb -x "$deb" "$new/tree" ;;
        esac
    done
    mv "$new/vmlinux-$release" "$new/vmlinux"
    mv "$new/tree/boot/vmlinuz-$release" "$new/vmlinuz"
    # The headers' Makefile includes the common part by the path it is installed at.
    sed -i "s|/usr/src/|$root/tree/usr/src/|" "$new/tree/usr/src/linux-headers-$release/Makefile"
    ln -s "tree/usr/src/linux-headers-$release" "$new/build"
    ln -s tree/lib "$new/lib"
    echo "$release" >"$new/release"
    mv "$new" "$root"
    rm -rf "$debs"
}
