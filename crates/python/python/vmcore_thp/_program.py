"""The program itself, `vmcore-thp` on the command line."""

import sys

from . import _native


def main() -> int:
    """Runs the command line of this process."""
    # `triage` starts the program again for each dump, by the script that this process was started with.
    return _native.run(["vmcore-thp", *sys.argv[1:]], sys.argv[0])
