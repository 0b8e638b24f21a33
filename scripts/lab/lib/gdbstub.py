"""Makes the livelock on a stock kernel, from outside, through QEMU's gdbstub.

usage: gdbstub.py SOCKET SYMBOLS patch          SYMBOLS: lines of the guest's /proc/kallsyms
       gdbstub.py SOCKET SYMBOLS watch CPUS     until every CPU has been seen to spin

`patch` gives back what the fix took away, as modules/thp_livelock does: migration_entry_wait() comes back at once, and
who splits a huge page loses its CPU behind try_to_migrate(), where the page is locked and all its entries are migration
entries. There it stays, in a jump to itself. Then the guest is told by `print_fatal_signals`, which its program polls.

`watch` prints a line per CPU, as the module does: the address whose fault migration_entry_wait() is called for.
"""

import socket
import struct
import sys
import time

RETURN = b"\xc3"
JUMP_TO_ITSELF = b"\xeb\xfe"
CALL = 0xE8
CALL_LENGTH = 5
# Who calls try_to_migrate() for a split: unmap_folio() (unmap_page() before 5.18), or where it was inlined.
SPLITTERS = [
    "unmap_folio",
    "unmap_page",
    "__folio_split",
    "split_huge_page_to_list_to_order",
    "split_huge_page_to_list",
]
# No split is larger.
FUNCTION_LIMIT = 0x2000
# The order of the registers in the protocol's `g`, 8 bytes each.
RDX = 3
WATCH_SECONDS = 60


class Stub:
    """The remote protocol of gdb: `$payload#checksum`, each acknowledged by `+`."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(WATCH_SECONDS)
        self._socket.connect(path)
        self._bytes = self._socket.makefile("rb")

    def send(self, payload: str) -> None:
        checksum = sum(payload.encode()) & 0xFF
        self._socket.sendall(f"${payload}#{checksum:02x}".encode())

    def receive(self) -> str:
        while self._bytes.read(1) != b"$":
            pass
        payload = bytearray()
        while (byte := self._bytes.read(1)) != b"#":
            if not byte:
                sys.exit("gdbstub: the connection ended")
            payload += byte
        self._bytes.read(2)
        self._socket.sendall(b"+")
        return payload.decode()

    def ask(self, payload: str) -> str:
        """The answer; that the guest has stopped, which is said again at times, is none."""
        self.send(payload)
        while (answer := self.receive()).startswith("T"):
            pass
        return answer

    def read(self, address: int, length: int) -> bytes:
        answer = self.ask(f"m{address:x},{length:x}")
        if answer.startswith("E"):
            sys.exit(f"gdbstub: {address:#x} cannot be read: {answer}")
        return bytes.fromhex(answer)

    def write(self, address: int, data: bytes) -> None:
        answer = self.ask(f"M{address:x},{len(data):x}:{data.hex()}")
        if answer != "OK":
            sys.exit(f"gdbstub: {address:#x} cannot be written: {answer}")

    def register(self, thread: str, number: int) -> int:
        self.ask(f"Hg{thread}")
        return struct.unpack_from("<Q", bytes.fromhex(self.ask("g")), 8 * number)[0]

    def stopped_thread(self) -> str:
        """Waits for the guest to stop, and returns `01` of `T05thread:01;`: the vCPU's number plus one."""
        answer = self.receive()
        return answer.partition("thread:")[2].partition(";")[0]

    def detach(self) -> None:
        """Lets the guest go on: one whose debugger just goes away stays stopped."""
        if self.ask("D") != "OK":
            sys.exit("gdbstub: the guest cannot be let go on")


def read_symbols(path: str) -> dict[str, int]:
    with open(path, encoding="utf-8", errors="replace") as file:
        words = [line.split() for line in file]
    return {word[2]: int(word[0], 16) for word in words if len(word) == 3}


def behind_the_call(stub: Stub, symbols: dict[str, int], target: int) -> int:
    """The address behind the call of `target` in the function that splits."""
    for name in SPLITTERS:
        if name not in symbols:
            continue
        start = symbols[name]
        code = b"".join(stub.read(start + at, 0x400) for at in range(0, FUNCTION_LIMIT, 0x400))
        for at in range(len(code) - CALL_LENGTH):
            if code[at] != CALL:
                continue
            behind = start + at + CALL_LENGTH
            if behind + struct.unpack_from("<i", code, at + 1)[0] == target:
                return behind
    sys.exit("gdbstub: found nobody who splits and calls try_to_migrate")


def patch(stub: Stub, symbols: dict[str, int]) -> None:
    behind = behind_the_call(stub, symbols, symbols["try_to_migrate"])
    stub.write(symbols["migration_entry_wait"], RETURN)
    stub.write(behind, JUMP_TO_ITSELF)
    stub.write(symbols["print_fatal_signals"], struct.pack("<i", 1))


def watch(stub: Stub, symbols: dict[str, int], cpus: int) -> None:
    wait = symbols["migration_entry_wait"]
    seen: set[int] = set()
    deadline = time.monotonic() + WATCH_SECONDS
    while len(seen) < cpus and time.monotonic() < deadline:
        stub.ask(f"Z1,{wait:x},1")
        stub.send("c")
        thread = stub.stopped_thread()
        cpu = int(thread, 16) - 1
        if cpu not in seen:
            seen.add(cpu)
            print(f"gdbstub: spinner cpu {cpu} address {stub.register(thread, RDX):#x}")
        # Past the breakpoint, that CPU alone, or it would stop there again.
        stub.ask(f"z1,{wait:x},1")
        stub.send(f"vCont;s:{thread}")
        stub.receive()
    if len(seen) < cpus:
        sys.exit(f"gdbstub: only the CPUs {sorted(seen)} spin")


def main() -> None:
    stub = Stub(sys.argv[1])
    symbols = read_symbols(sys.argv[2])
    stub.send("?")
    stub.stopped_thread()
    if sys.argv[3] == "patch":
        patch(stub, symbols)
    else:
        watch(stub, symbols, int(sys.argv[4]))
    stub.detach()


main()
