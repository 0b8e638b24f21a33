# Builds what runs inside the guest: the modules, the static programs and the two
# initramfs (of the kernel that will die, and of the crash kernel that saves it).
# Cached per kernel, keyed by everything that goes in.
# shellcheck shell=bash source-path=SCRIPTDIR

# shellcheck source=chroot.sh
source "$LAB_SRC/lib/chroot.sh"

# The distribution's modules a guest needs, each after those it depends on. Some
# kernels have some of them built in.
GUEST_MODULES=(
    virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk
    virtio_console qemu_fw_cfg
)
# What a scenario may load by itself.
SCENARIO_MODULES=(fuse)
GUEST_PROGRAMS=(livelock crowd thp_busy truth actor secrets fused)

# build_guest SERIES: prints the directory that holds `initramfs`.
build_guest() {
    local series=$1 key
    key=$(guest_key "$series")
    GUEST=$LAB_DIR/guests/$series-$key
    with_lock "guest-$series" build_guest_once "$series"
}

guest_key() {
    {
        cat "$LAB_DIR/kernels/$1/release" "$LAB_SRC/lib/guest.sh" "$LAB_SRC/lib/chroot.sh"
        find "$LAB_SRC/guest" "$LAB_SRC/modules" -type f -print0 | sort -z | xargs -0 sha256sum
        dpkg-query -W busybox-static kexec-tools makedumpfile gcc libc6-dev
    } | sha256sum | cut -c1-16
}

build_guest_once() {
    local series=$1 new=$GUEST.new
    [[ ! -e $GUEST/initramfs ]] || return 0
    say "building the guest for $series"
    rm -rf "$LAB_DIR/guests/$series"-*
    mkdir -p "$new"
    mkdir -p "$new/modules"
    ! builds_modules "$series" || build_modules "$series" "$new"
    build_programs "$series" "$new"
    pack_guest "$series" "$new"
    mv "$new" "$GUEST"
}

build_modules() {
    local series=$1 new=$2 source name
    local -a compile
    mapfile -t compile < <(compiler_of "$series")
    for source in "$LAB_SRC"/modules/*/; do
        name=$(basename "$source")
        cp -r "$source" "$new/build-$name"
        # CC: the headers name the compiler's exact version, which need not be here.
        # No BTF: the modules do not need it, and it would take yet another program.
        "${compile[@]}" make -s -C "$LAB_DIR/kernels/$series/build" M="$new/build-$name" \
            ARCH="$(kbuild_machine "$series")" CROSS_COMPILE="$(tools_prefix "$series")" CC="$(tools_prefix "$series")gcc" \
            CONFIG_DEBUG_INFO_BTF_MODULES= modules >"$new/build-$name/log" 2>&1 || {
            cat "$new/build-$name/log" >&2
            die "cannot build the module $name for $series"
        }
        # A module whose feature this kernel lacks is not built: real-time kernels have no huge pages.
        if [[ -e $new/build-$name/$name.ko ]]; then
            cp "$new/build-$name/$name.ko" "$new/modules/"
        fi
    done
}

# kbuild_machine SERIES: the kernel's own name of its machine.
kbuild_machine() {
    case $(machine_of "$1") in
        amd64) echo x86_64 ;;
        *) machine_of "$1" ;;
    esac
}

# tools_prefix SERIES: what the names of the compiler and its like begin with.
tools_prefix() {
    case $(machine_of "$1") in
        arm64) echo aarch64-linux-gnu- ;;
        *) ;;
    esac
}

# compiler_of SERIES: what runs `make`, a word a line: nothing, or whatever enters a chroot.
compiler_of() {
    local what suite
    what=$(kernel_field "$1" 6)
    suite=${what#modules:}
    if [[ $suite == "$what" ]]; then
        echo env
    else
        printf '%s\n' in_chroot "$(chroot_of "$suite")" "$LAB_DIR"
    fi
}

build_programs() {
    local series=$1 new=$2 name
    mkdir -p "$new/programs"
    for name in "${GUEST_PROGRAMS[@]}"; do
        "$(tools_prefix "$series")gcc" -Wall -Wextra -Werror -O2 -static -pthread \
            -o "$new/programs/$name" "$LAB_SRC/guest/programs/$name.c" \
            || die "cannot build the program $name"
    done
}

pack_guest() {
    local series=$1 new=$2 root=$2/root
    mkdir -p "$root"/{bin,dev,proc,sys,tmp,sbin,boot,modules}
    if is_native "$series"; then
        cp /bin/busybox "$root/bin/busybox"
    else
        cp "$LAB_DIR/kernels/$series/busybox" "$root/bin/busybox"
    fi
    install -m 755 "$LAB_SRC/guest/init" "$root/init"
    cp "$LAB_SRC/guest/save-vmcore" "$root/save-vmcore"
    add_distribution_modules "$series" "$root"
    add_crash_kernel "$series" "$new" "$root"
    cp -r "$LAB_SRC/guest/scenarios" "$root/scenarios"
    cp "$LAB_SRC/guest/watchdogs" "$root/watchdogs"
    cp -r "$new/programs" "$root/programs"
    find "$new/modules" -name '*.ko' -exec cp {} "$root/modules/" \;
    pack "$root" "$new/initramfs"
    rm -rf "$root"
}

# The crash kernel's own initramfs; then, on top of the same tree, comes the main one.
add_crash_kernel() {
    local series=$1 new=$2 root=$3
    add_tool "$series" "$root" makedumpfile
    pack "$root" "$new/crash-initramfs"
    add_tool "$series" "$root" kexec
    cp "$new/crash-initramfs" "$LAB_DIR/kernels/$series/vmlinuz" "$root/boot/"
}

add_distribution_modules() {
    local series=$1 root=$2 name
    : >"$root/modules/order"
    for name in "${GUEST_MODULES[@]}"; do
        ! add_distribution_module "$series" "$root" "$name" || echo "$name.ko" >>"$root/modules/order"
    done
    for name in "${SCENARIO_MODULES[@]}"; do
        add_distribution_module "$series" "$root" "$name" || say "$series has no module $name"
    done
}

# add_distribution_module SERIES ROOT NAME: fails where the kernel has none of that name.
add_distribution_module() {
    local root=$2 name=$3 file
    file=$(find "$LAB_DIR/kernels/$1/lib/modules/" -name "$name.ko*" -print -quit)
    [[ -n $file ]] || return 1
    case $file in
        *.xz) xz -dc "$file" >"$root/modules/$name.ko" ;;
        *) cp "$file" "$root/modules/$name.ko" ;;
    esac
}

# add_tool SERIES ROOT NAME: makedumpfile or kexec for the guest's machine.
add_tool() {
    if is_native "$1"; then
        add_dynamic_program "$2" "$(command -v "$3" || echo "/sbin/$3")"
    else
        with_lock "tools-$(machine_of "$1")" fetch_tools "$1"
        add_foreign_program "$2" "$TOOLS" "$3"
    fi
}

# fetch_tools SERIES: makedumpfile and kexec of another machine with all their libraries, unpacked into $TOOLS.
fetch_tools() {
    local package suite
    suite=$(suite_below "$1")
    TOOLS=$LAB_DIR/tools/$suite-$(machine_of "$1")
    [[ ! -e $TOOLS ]] || return 0
    use_lists_of_suite "$suite" "$(machine_of "$1")"
    rm -rf "$TOOLS.new"
    mkdir -p "$TOOLS.new/debs"
    for package in kexec-tools makedumpfile $(libraries_of kexec-tools makedumpfile); do
        download "$TOOLS.new/debs" "$package" || die "cannot fetch $package"
        dpkg-deb -x "$TOOLS.new/debs/$package"_*.deb "$TOOLS.new"
    done
    rm -rf "$TOOLS.new/debs"
    mv "$TOOLS.new" "$TOOLS"
}

# libraries_of PACKAGE...: the packages of libraries that they need, and those that these need.
libraries_of() {
    apt-cache "${APT_OPTIONS[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances "$@" | grep -E '^(lib(c6|gcc|bz2|z|lz|dw|elf|snappy|stdc|crypto|xen)|zlib1g$)'
}

# add_foreign_program ROOT TREE NAME: the program with the shared libraries and the loader it asks for, by their names.
add_foreign_program() {
    local root=$1 tree=$2 name=$3 file
    file=$(find "$tree" -path "*bin/$name" -type f -print -quit)
    [[ -n $file ]] || die "the packages of another machine have no $name"
    cp "$file" "$root/sbin/"
    mkdir -p "$root/lib"
    local -a names=()
    mapfile -t names < <(needed_by "$file")
    while ((${#names[@]})); do
        name=${names[0]}
        names=("${names[@]:1}")
        [[ ! -e $root/lib/$name ]] || continue
        file=$(find "$tree" -name "$name" -print -quit)
        [[ -n $file ]] || die "the packages of another machine have no $name"
        cp -L "$file" "$root/lib/"
        mapfile -t -O "${#names[@]}" names < <(needed_by "$file")
    done
}

# needed_by FILE: its loader and libraries.
needed_by() {
    readelf --program-headers --dynamic "$1" \
        | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p; s|.*Requesting program interpreter: .*/(.*)\]|\1|p'
}

# The program with the shared libraries and the loader it asks for.
add_dynamic_program() {
    local root=$1 program=$2 library
    cp "$program" "$root/sbin/"
    while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done < <(ldd "$program" | grep -o '/[^ ]*')
}

# Not compressed hard: the guest must unpack it, slowly, on an emulated CPU.
pack() {
    (cd "$1" && find . -print0 | cpio --quiet --null -o -H newc -R 0:0) | gzip -1 >"$2"
}
