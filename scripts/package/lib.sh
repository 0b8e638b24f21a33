# Helpers shared by the scripts that make packages and try them out.
# shellcheck shell=bash

# Sets the variables of its caller.
# shellcheck disable=SC2034
TARGET=x86_64-unknown-linux-musl
# shellcheck disable=SC2034
VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# need COMMAND:PACKAGE...: installs the Debian package of each command that is not there.
need() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# need_cargo COMMAND@VERSION...: installs what is not there, unoptimized: that is built in half the time.
need_cargo() {
    local wanted
    for wanted in "$@"; do
        command -v "${wanted%@*}" >/dev/null || cargo install --quiet --debug --locked "$wanted"
    done
}
