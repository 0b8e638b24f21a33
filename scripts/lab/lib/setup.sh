# `lab setup`: installs the Debian packages the lab needs; does nothing when they are there.
# shellcheck shell=bash

# The emulator (with its firmware), what goes into the guests, what builds the
# guests' modules, and what the scripts themselves run.
LAB_PACKAGES=(
    qemu-system-x86 seabios qemu-system-arm
    busybox-static kexec-tools makedumpfile
    gcc gcc-12 libc6-dev make libelf1 cpio kmod
    gcc-12-aarch64-linux-gnu gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    libdw1 libzstd1 libsnappy1v5
    python3 python3-venv time xz-utils zstd
)

setup() {
    install_missing "lab setup" "${LAB_PACKAGES[@]}"
}
