"""Makes the livelock on a stock kernel, from outside, through QEMU's gdbstub.

usage: gdbstub.py SOCKET SYMBOLS MACHINE patch          SYMBOLS: lines of the guest's /proc/kallsyms
       gdbstub.py SOCKET SYMBOLS MACHINE watch CPUS     until every CPU has been seen to spin

`patch` gives back what the fix took away, as modules/thp_livelock does: migration_entry_wait() comes back at once, and
who splits a huge page loses its CPU behind try_to_migrate(), where the page is locked and all its entries are migration
entries. There it stays, in a jump to itself. Then the guest is told by `print_fatal_signals`, which its program polls.

`watch` prints a line per CPU, as the module does: the address whose fault migration_entry_wait() is called for.
"""

import socket
import struct
import sys
import time

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
WATCH_SECONDS = 60


class Amd64:
    """`ret`, `jmp .`, `call`; the register with a function's third argument, by its place in the protocol's `g`, 8 bytes each."""

    RETURN = b"\xc3"
    JUMP_TO_ITSELF = b"\xeb\xfe"
    THIRD_ARGUMENT = 3  # rdx
    CALL = 0xE8
    CALL_LENGTH = 5

    @classmethod
    def calls(cls, start: int, code: bytes):
        """Where each call goes on afterwards, and what it calls."""
        for at in range(len(code) - cls.CALL_LENGTH):
            if code[at] == cls.CALL:
                behind = start + at + cls.CALL_LENGTH
                yield behind, behind + struct.unpack_from("<i", code, at + 1)[0]


class Arm64:
    """`ret`, `b .`, `bl`."""

    RETURN = struct.pack("<I", 0xD65F03C0)
    JUMP_TO_ITSELF = struct.pack("<I", 0x14000000)
    THIRD_ARGUMENT = 2  # x2

    @classmethod
    def calls(cls, start: int, code: bytes):
        for at in range(0, len(code) - 3, 4):
            (word,) = struct.unpack_from("<I", code, at)
            if word >> 26 == 0x94000000 >> 26:
                words = (word & 0x3FFFFFF) - ((word & 0x2000000) << 1)
                yield start + at + 4, start + at + 4 * words


MACHINES = {"amd64": Amd64, "arm64": Arm64}


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


def behind_the_call(stub: Stub, machine, symbols: dict[str, int], target: int) -> int:
    """The address behind the call of `target` in the function that splits."""
    for name in SPLITTERS:
        if name not in symbols:
            continue
        start = symbols[name]
        code = b"".join(stub.read(start + at, 0x400) for at in range(0, FUNCTION_LIMIT, 0x400))
        for behind, called in machine.calls(start, code):
            if called == target:
                return behind
    sys.exit("gdbstub: found nobody who splits and calls try_to_migrate")


def patch(stub: Stub, machine, symbols: dict[str, int]) -> None:
    behind = behind_the_call(stub, machine, symbols, symbols["try_to_migrate"])
    stub.write(symbols["migration_entry_wait"], machine.RETURN)
    stub.write(behind, machine.JUMP_TO_ITSELF)
    stub.write(symbols["print_fatal_signals"], struct.pack("<i", 1))


def watch(stub: Stub, machine, symbols: dict[str, int], cpus: int) -> None:
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
            print(f"gdbstub: spinner cpu {cpu} address {stub.register(thread, machine.THIRD_ARGUMENT):#x}")
        # Past the breakpoint, that CPU alone, or it would stop there again.
        stub.ask(f"z1,{wait:x},1")
        stub.send(f"vCont;s:{thread}")
        stub.receive()
    if len(seen) < cpus:
        sys.exit(f"gdbstub: only the CPUs {sorted(seen)} spin")


def main() -> None:
    stub = Stub(sys.argv[1])
    symbols = read_symbols(sys.argv[2])
    machine = MACHINES[sys.argv[3]]
    stub.send("?")
    stub.stopped_thread()
    if sys.argv[4] == "patch":
        patch(stub, machine, symbols)
    else:
        watch(stub, machine, symbols, int(sys.argv[5]))
    stub.detach()


main()
