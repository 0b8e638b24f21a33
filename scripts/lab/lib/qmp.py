"""Tells a running QEMU to stop its guest and to dump the guest's memory.

usage: qmp.py SOCKET dump FORMAT FILE [FORMAT FILE]...   stop, dump, quit
       qmp.py SOCKET quit

FORMAT: elf, kdump-zlib; elf-paging is an ELF core whose segments are what the page tables of the CPUs map.
"""

import json
import socket
import sys


class Monitor:
    """QEMU's machine protocol: one JSON object per line, events in between."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        # Some gigabytes take minutes on a busy machine.
        self._socket.settimeout(600)
        self._socket.connect(path)
        self._lines = self._socket.makefile("r")
        self._lines.readline()  # the greeting
        self.run("qmp_capabilities")

    def run(self, command: str, **arguments: object) -> None:
        request = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        for line in self._lines:
            answer = json.loads(line)
            if "error" in answer:
                sys.exit(f"qmp: {command}: {answer['error']['desc']}")
            if "return" in answer:
                return
        sys.exit(f"qmp: {command}: the connection ended")


def main() -> None:
    monitor = Monitor(sys.argv[1])
    if sys.argv[2] == "dump":
        monitor.run("stop")
        # Of the stopped guest, so that all files hold the same.
        for form, file in zip(sys.argv[3::2], sys.argv[4::2]):
            paging = form == "elf-paging"
            form = "elf" if paging else form
            monitor.run("dump-guest-memory", paging=paging, protocol="file:" + file, format=form)
    monitor.run("quit")


main()
