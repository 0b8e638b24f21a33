"""Questions about a dump."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Union

from . import _process
from ._errors import Inconclusive

Path = Union[str, "os.PathLike[str]"]
# As many as the program reads at once.
_WORDS = 1 << 16


def analyze(
    path: Path,
    vmlinux: Path | None = None,
    *,
    timeout: float | None = None,
    max_memory: int | str | None = None,
    options: Sequence[str] = (),
) -> dict[str, Any]:
    """The verdict on a dump: what hung or crashed the machine, how sure that is, and the proof.

    The same document as of `vmcore-thp analyze --format json`: `["verdict"]["confidence"]` is `confirmed`, `probable`,
    `possible`, `none` (the dump says that nothing of it is wrong) or `insufficient` (it does not have what would tell).

    Raises Error where the files cannot be read or do not belong together.
    """
    return command("analyze", path, vmlinux, timeout=timeout, max_memory=max_memory, options=options)


def stacks(
    path: Path,
    vmlinux: Path | None = None,
    *,
    cpus: Iterable[int] = (),
    pids: Iterable[int] = (),
    all: bool = False,  # noqa: A002 - as the option
    state: str | None = None,
    comm: str | None = None,
    timeout: float | None = None,
    max_memory: int | str | None = None,
    options: Sequence[str] = (),
) -> dict[str, Any]:
    """Stacks: of what every CPU ran, or of the tasks that are named.

    The same document as of `vmcore-thp bt --format json`. `state` has letters as `ps` shows them ("D"), `comm` is part of
    a task's name.
    """
    words = [*(f"--cpu={cpu}" for cpu in cpus), *(f"--pid={pid}" for pid in pids)]
    words += ["--all"] if all else []
    words += [] if state is None else [f"--state={state}"]
    words += [] if comm is None else [f"--comm={comm}"]
    return command("bt", path, vmlinux, timeout=timeout, max_memory=max_memory, options=[*words, *options])


def read(
    path: Path,
    address: int,
    size: int,
    vmlinux: Path | None = None,
    *,
    pid: int | None = None,
    physical: bool = False,
    timeout: float | None = None,
    max_memory: int | str | None = None,
    options: Sequence[str] = (),
) -> bytes:
    """Memory: of the kernel, of the process of the task `pid`, or at a physical address.

    Raises Inconclusive where not all of it is in the dump, Error where it is mapped nowhere.
    """
    if address < 0 or size < 0:
        raise ValueError("address and size are not negative")
    where = ["--physical"] if physical else [] if pid is None else [f"--pid={pid}"]
    found = bytearray()
    while len(found) < size:
        at, left = address + len(found), size - len(found)
        # Whole words as far as there are some: a document of bytes is eight times as long.
        width = 8 if left >= 8 else 1
        count = min(left // width, _WORDS)
        words = [f"--bits={8 * width}", *where, *options]
        document = command("rd", path, vmlinux, f"{at:#x}", str(count), timeout=timeout, max_memory=max_memory, options=words)
        for word in document["words"]:
            found += int(word["value"], 16).to_bytes(width, "little")
        if document["error"] is not None:
            raise Inconclusive(f"after {len(found)} of {size} bytes: {document['error']}")
    return bytes(found)


def command(
    name: str,
    path: Path,
    vmlinux: Path | None = None,
    *words: str,
    timeout: float | None = None,
    max_memory: int | str | None = None,
    options: Sequence[str] = (),
) -> dict[str, Any]:
    """The document of any command that reads a dump: `command("ps", path, vmlinux, options=["--state", "D"])`.

    `timeout` is in seconds, `max_memory` in bytes or such as "2G"; `options` are those of the command line, such as
    `["--debug-dir", "/srv/debug"]`.
    """
    bound = [] if max_memory is None else [f"--max-memory={max_memory}"]
    files = [os.fspath(path), *([] if vmlinux is None else [os.fspath(vmlinux)])]
    return _process.answer([name, *options, *bound, "--", *files, *words], timeout)


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a command's document."""
    return _process.answer(["schema", name])
