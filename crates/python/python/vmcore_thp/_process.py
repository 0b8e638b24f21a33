"""Runs the program in a process of its own, and takes its answer.

A dump is hostile input, and files that are mapped can be cut short: what that can do to a process ends with the one that
is started here. It can be interrupted, bounded in time and memory, and gives all of its memory back. It is this Python
without its site packages, which takes ten milliseconds, with nothing but the program in it.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, cast

from . import _native
from ._errors import Error, from_messages

# The module is found by its path: the new process looks at no variable of the environment and at no directory for it.
_START = """
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
loader = ExtensionFileLoader("_native", sys.argv[1])
spec = spec_from_file_location("_native", sys.argv[1], loader=loader)
native = module_from_spec(spec)
loader.exec_module(native)
sys.exit(native.run(["vmcore-thp", *sys.argv[2:]]))
"""
# For how long the program may be late to end itself.
_GRACE = 10.0

_log = logging.getLogger("vmcore_thp")


def answer(words: Sequence[str], timeout: float | None = None) -> dict[str, Any]:
    """The JSON that a command line prints. Its warnings and notes go to the logger `vmcore_thp`."""
    if not sys.executable:
        raise Error("cannot tell which Python this is", "set sys.executable to the path of one")
    bound = [] if timeout is None else ["--timeout", f"{timeout:.3f}s"]
    command = [sys.executable, "-I", "-S", "-c", _START, _native.__file__, "--format", "json", *bound, *words]
    late = None if timeout is None else timeout + _GRACE
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=late, check=False)
    except subprocess.TimeoutExpired:
        raise Error(f"the process that read the dump did not end after {late} s") from None
    except OSError as error:
        raise Error(f"cannot start {sys.executable}: {error}") from error
    messages = done.stderr.decode(errors="replace")
    _tell(messages)
    if done.returncode < 0:
        number = -done.returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        raise Error(f"the process that read the dump was ended by signal {name}", messages.strip() or None)
    if done.returncode not in (0, 1, 3) or not done.stdout:
        raise from_messages(messages, done.returncode)
    return cast("dict[str, Any]", json.loads(done.stdout))


def _tell(messages: str) -> None:
    for line in messages.splitlines():
        if line.startswith("warning: "):
            _log.warning("%s", line.removeprefix("warning: "))
        elif line.startswith("note: "):
            _log.info("%s", line.removeprefix("note: "))
