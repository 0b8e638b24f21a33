# Sourced by scripts that need drgn: sets DRGN to the program, after installing the newest
# one from PyPI into a virtual environment of its own in the lab's cache.
# shellcheck shell=bash

drgn_env=${VMCORE_LAB_DIR:-$HOME/.cache/vmcore-thp/lab}/drgn
DRGN=$drgn_env/bin/drgn
# One installs it; another that is started meanwhile waits for that.
install_drgn() {
    flock 9
    [[ ! -x $DRGN ]] || return 0
    echo "installing drgn into $drgn_env" >&2
    python3 -m venv "$drgn_env" >&2
    "$drgn_env/bin/pip" install --quiet --disable-pip-version-check drgn >&2
}
if [[ ! -x $DRGN ]]; then
    mkdir -p "${drgn_env%/*}"
    install_drgn 9>"$drgn_env.lock"
fi
unset -f install_drgn
export DRGN
