"""What stays as it is in the process that asks, whatever is in the dump."""

import pathlib
import pickle
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import vmcore_thp


def of_this_process() -> dict[str, str]:
    status = pathlib.Path("/proc/self/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return {name: fields[name] for name in ("SigBlk", "SigIgn", "SigCgt", "Threads")}


def test_nothing_is_left_behind(vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    before, handler = of_this_process(), signal.getsignal(signal.SIGINT)
    vmcore_thp.analyze(vmcore, profile)
    assert of_this_process() == before and signal.getsignal(signal.SIGINT) is handler


def test_other_threads_go_on(vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    done, turns = threading.Event(), 0

    def ask() -> str:
        try:
            return str(vmcore_thp.analyze(vmcore, profile)["verdict"]["confidence"])
        finally:
            done.set()

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(4)]
        while not done.wait(0.001):
            turns += 1
        assert [future.result() for future in asked] == ["confirmed"] * 4
    assert turns > 5


def test_errors_have_the_programs_words(tmp_path: pathlib.Path, vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    with pytest.raises(vmcore_thp.Error) as missing:
        vmcore_thp.analyze(tmp_path / "nothing")
    assert "nothing" in missing.value.message
    text = tmp_path / "text"
    text.write_text("[    1.0] Linux version 6.1\n")
    with pytest.raises(vmcore_thp.Error) as log:
        vmcore_thp.analyze(text, profile)
    assert "is not a dump" in log.value.message and "vmcore-thp log" in (log.value.hint or "")
    assert str(log.value) == f"{log.value.message}\nhint: {log.value.hint}"
    same = pickle.loads(pickle.dumps(log.value))
    assert (type(same), same.message, same.hint) == (vmcore_thp.Error, log.value.message, log.value.hint)
    with pytest.raises(vmcore_thp.Error, match="no CPU 99"):
        vmcore_thp.stacks(vmcore, profile, cpus=[99])
    with pytest.raises(vmcore_thp.Error, match="unexpected argument '--nosuch'"):
        vmcore_thp.analyze(vmcore, profile, options=["--nosuch"])
    with pytest.raises(vmcore_thp.Error, match="nosuch"):
        vmcore_thp.schema("nosuch")


def test_memory_that_is_not_there(vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    with pytest.raises(vmcore_thp.Error):
        vmcore_thp.read(vmcore, 0, 8, profile)
    with pytest.raises(ValueError):
        vmcore_thp.read(vmcore, -8, 8, profile)
    # What a small dump does not have is not zero.
    with pytest.raises(vmcore_thp.Error):
        vmcore_thp.read(vmcore, 0x1000, 1 << 20, profile, physical=True)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 4096, 100_000, 1_000_000])
def test_a_dump_that_is_cut_short(length: int, tmp_path: pathlib.Path, vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(vmcore.read_bytes()[:length])
    try:
        assert vmcore_thp.analyze(cut, profile)["verdict"]["confidence"] != "none"
    except vmcore_thp.Error as error:
        assert error.message


def test_bounds_end_the_call_and_not_the_process(vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    with pytest.raises(vmcore_thp.Error, match="more memory is needed than --max-memory allows") as memory:
        vmcore_thp.analyze(vmcore, profile, max_memory="64K")
    assert memory.value.hint is not None
    with pytest.raises(vmcore_thp.Error, match="was not finished after 0.001 s"):
        vmcore_thp.analyze(vmcore, profile, timeout=0.001)
    assert vmcore_thp.analyze(vmcore, profile, timeout=60, max_memory=1 << 30)["spinners"]


def test_a_process_that_is_killed_is_an_error(monkeypatch: pytest.MonkeyPatch, vmcore: pathlib.Path) -> None:
    monkeypatch.setattr("vmcore_thp._process._START", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(vmcore_thp.Error, match="ended by signal SIGKILL"):
        vmcore_thp.analyze(vmcore)
    monkeypatch.setattr("vmcore_thp._process._START", "raise SystemExit(1)")
    with pytest.raises(vmcore_thp.Error, match="ended with status 1 and gave no reason"):
        vmcore_thp.analyze(vmcore)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(vmcore_thp.Error, match="cannot start /nowhere/python"):
        vmcore_thp.analyze(vmcore)


def test_warnings_go_to_the_log(tmp_path: pathlib.Path, vmcore: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "vmcore_thp")
    vmcore_thp.analyze(vmcore, options=["--no-debuginfod"])
    assert [record.name for record in caplog.records] and all("error" not in line for line in caplog.messages)
    assert "only the log and the names of the machine can be read" in caplog.text
