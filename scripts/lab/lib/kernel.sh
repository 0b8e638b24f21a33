# `lab kernel SERIES`: fetches one distribution kernel, unpacked into the cache.
#
# Leaves in $LAB_DIR/kernels/SERIES:
#   release             what `uname -r` says in it
#   vmlinux             the whole debug vmlinux: DWARF, BTF, ORC; unless only the image is served
#   vmlinuz             the image that is booted
#   lib/modules/...     its modules, where they are served
#   build               the headers, ready for `make -C build M=...`, where modules are built for it
#   busybox             a static busybox, of a machine that is not this one
# Nothing is installed into the system.
# shellcheck shell=bash source-path=SCRIPTDIR

# shellcheck source=apt.sh
source "$LAB_SRC/lib/apt.sh"

kernel() {
    [[ $# -eq 1 ]] || die "usage: lab kernel SERIES"
    local series=$1
    kernel_field "$series" 2 >/dev/null
    with_lock "kernel-$series" fetch_kernel "$series"
    echo "$LAB_DIR/kernels/$series"
}

fetch_kernel() {
    local series=$1 root=$LAB_DIR/kernels/$1
    if [[ -e $root/release ]]; then
        say "kernel $series is $(cat "$root/release")"
        return
    fi
    use_lists_of "$series"
    local release
    # Lists that are older than what the mirror still serves name nothing that can be had.
    release=$(download_newest "$series") \
        || { refresh_lists && release=$(download_newest "$series"); } \
        || die "no kernel of series $series could be fetched from this machine's mirrors"
    unpack_kernel "$series" "$release"
    say "kernel $series is $release"
}

# use_lists_of SERIES
use_lists_of() {
    use_lists_of_suite "$(kernel_field "$1" 4)" "$(machine_of "$1")"
    [[ -n $(listed_releases "$1") ]] || refresh_lists
}

# has_vmlinux SERIES, builds_modules SERIES: what is fetched of it (kernels.tsv).
has_vmlinux() { [[ $(kernel_field "$1" 6) != image ]]; }
builds_modules() { [[ $(kernel_field "$1" 6) == modules* ]]; }

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

# listed_releases SERIES: releases that are listed, with their debug symbols where those are wanted, newest first.
listed_releases() {
    local version flavour suffix=''
    version=$(kernel_field "$1" 2)
    flavour=$(kernel_field "$1" 3)
    ! has_vmlinux "$1" || suffix=-dbg
    package_names linux-image- | releases_among "$version" "$flavour" "$suffix"
}

# releases_among VERSION FLAVOUR SUFFIX: of the names of packages that come in. A release is what stands between
# linux-image- and the suffix: 6.1.0-56-amd64 or 6.12.117+deb12-amd64, and not 6.1.0-56-rt-amd64, which is another
# flavour. The version "newest" is any.
releases_among() {
    local version=${1//./\\.}
    [[ $1 != newest ]] || version='[0-9]+\.[0-9]+'
    sed -nE "s/^linux-image-(${version}\.[^-]*(-[0-9][^-]*)?-$2)$3\$/\1/p" | sort -rV
}

# image_package RELEASE VERSION: the package with the image to boot, of the same version as the debug symbols. The
# unsigned one is built together with them, so it is the most likely to be served. Since 7.x (6.19 in backports)
# the image has a package linux-binary- of its own, and linux-image- is empty.
image_package() {
    local package
    for package in "linux-binary-unsigned-$1" "linux-binary-$1" "linux-image-$1-unsigned" "linux-image-$1"; do
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
    local debs=$LAB_DIR/kernels/.$1.debs series=$1 release=$2 version package
    local -a packages=()
    mapfile -t packages < <(kernel_packages "$series" "$release")
    ((${#packages[@]})) || return 1
    rm -rf "$debs"
    mkdir -p "$debs"
    for package in "${packages[@]}"; do
        download "$debs" "$package" || return 1
    done
    is_native "$series" || download_for_cross_builds "$series" "$debs"
}

# is_native SERIES: whether its programs run here.
is_native() {
    [[ $(machine_of "$1") == "$(dpkg --print-architecture)" ]]
}

# suite_below SERIES: the suite that its own is added to.
suite_below() {
    local suite
    suite=$(kernel_field "$1" 4)
    echo "${suite%-backports}"
}

# What another machine's guest and modules need beside its kernel: a busybox of that machine, and kbuild's own programs
# of this one, which are there in the same version.
download_for_cross_builds() {
    local series=$1 debs=$2 kbuild version
    # Backports have none.
    use_lists_of_suite "$(suite_below "$series")" "$(machine_of "$series")"
    download "$debs" busybox-static || return 1
    use_lists_of "$series"
    builds_modules "$series" || return 0
    for kbuild in "$debs"/linux-kbuild-*.deb; do
        version=$(dpkg-deb -f "$kbuild" Version)
        rm "$kbuild"
        kbuild=$(basename "$kbuild")
        use_lists_of_suite "$(kernel_field "$series" 4)"
        download "$debs" "${kbuild%%_*}=$version" || return 1
    done
    use_lists_of "$series"
}

# kernel_packages SERIES RELEASE: what has to be fetched; nothing where something is not listed.
kernel_packages() {
    local version image modules support=''
    version=$(candidate "linux-image-$2$(! has_vmlinux "$1" || echo -dbg)")
    image=$(image_package "$2" "$version") || return 1
    # Where modules are packed for themselves; of old releases the mirror lists the image only.
    modules=$(candidate "linux-modules-$2")
    if builds_modules "$1"; then
        support=$(build_dependencies "linux-headers-$2") || return 1
        printf '%s\n' "linux-headers-$2=$version" "$support"
    fi
    echo "$image"
    [[ -z $modules ]] || echo "linux-modules-$2=$modules"
    ! has_vmlinux "$1" || echo "linux-image-$2-dbg=$version"
}

# What `make` needs beside the headers themselves: the part that all flavours share,
# and the build's own programs (objtool, modpost); since 7.x also the configuration.
build_dependencies() {
    apt-cache "${APT_OPTIONS[@]}" show --no-all-versions "$1" 2>/dev/null \
        | sed -n 's/^Depends: //p' | tr ',|' '\n' | sed 's/(.*//; s/ //g' \
        | grep -E '^linux-(headers-.*-common(-rt)?|kbuild-.*|base-.*)$'
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
            *-dbg_*) unpack_vmlinux "$deb" "$release" "$new" ;;
            *) dpkg-deb -x "$deb" "$new/tree" ;;
        esac
    done
    # In /usr since Debian 13.
    is_native "$series" || mv "$(find "$new/tree" -type f -path '*/bin/busybox' -print -quit)" "$new/busybox"
    mv "$(find "$new/tree" -type f \( -name "vmlinuz-$release" -o -name 'vmlinuz*' -path "*/$release/*" \) -print -quit)" \
        "$new/vmlinuz" || die "no image in the packages of $release"
    if builds_modules "$series"; then
        # The headers' Makefile includes the common part by the path it is installed at.
        sed -i "s|/usr/src/|$root/tree/usr/src/|" "$new/tree/usr/src/linux-headers-$release/Makefile"
        ln -s "tree/usr/src/linux-headers-$release" "$new/build"
    fi
    # Since Debian 13 modules are packed where they are after all: in /usr.
    mkdir -p "$new"/tree{,/usr}/lib/modules
    ln -s "$(cd "$new" && [[ -n $(ls -A tree/lib/modules) ]] && echo tree/lib || echo tree/usr/lib)" "$new/lib"
    echo "$release" >"$new/release"
    mv "$new" "$root"
    rm -rf "$debs"
}

# unpack_vmlinux DEB RELEASE DIRECTORY: of the debug symbols (gigabytes unpacked) only vmlinux is wanted; since 7.x it
# is among the modules.
unpack_vmlinux() {
    local found
    mkdir -p "$3/debug"
    # tar fails where one of the two places has nothing.
    dpkg-deb --fsys-tarfile "$1" \
        | tar -x -C "$3/debug" --wildcards "*/boot/vmlinux-$2" "*/modules/$2/vmlinux" 2>/dev/null || true
    found=$(find "$3/debug" -type f -name 'vmlinux*' -size +1M -print -quit)
    [[ -n $found ]] || die "no vmlinux in $(basename "$1")"
    mv "$found" "$3/vmlinux"
    rm -rf "$3/debug"
}
