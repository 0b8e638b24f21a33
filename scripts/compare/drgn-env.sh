# Sourced by scripts that need drgn: sets DRGN to the program, after installing the newest
# one from PyPI into a virtual environment of its own in the lab's cache.
# shellcheck shell=bash

drgn_env=${VMCORE_LAB_DIR:-$HOME/.cache/vmcore-thp/lab}/drgn
DRGN=$drgn_env/bin/drgn
if [[ ! -x $DRGN ]]; then
    echo "installing drgn into $drgn_env" >&2
    python3 -m venv "$drgn_env" >&2
    "$drgn_env/bin/pip" install --quiet --disable-pip-version-check drgn >&2
fi
export DRGN
