# `lab setup`: installs the Debian packages the lab needs; does nothing when they are there.
# shellcheck shell=bash

# The emulator (with its firmware), what goes into the guests, what builds the
# guests' modules, and what the scripts themselves run.
LAB_PACKAGES=(
    qemu-system-x86 seabios
    busybox-static kexec-tools makedumpfile
    gcc gcc-12 libc6-dev make libelf1 cpio kmod
    python3 python3-venv time xz-utils
)

missing_packages() {
    local package
    for package in "${LAB_PACKAGES[@]}"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed \
            || echo "$package"
    done
}

setup() {
    local missing
    mapfile -t missing < <(missing_packages)
    if ((${#missing[@]} == 0)); then
        say "all packages are installed"
        return
    fi
    need_root "lab setup"
    say "installing ${missing[*]}"
    apt-get update -qq >&2
    # kexec-tools would ask whether it may take over reboots.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
    say "set up"
}
