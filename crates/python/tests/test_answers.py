"""What is answered about the dump that comes with the source."""

import json
import os
import pathlib
import subprocess
import sys

import jsonschema
import pytest
import vmcore_thp


def test_the_verdict_is_proved(vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    answer = vmcore_thp.analyze(vmcore, profile)
    assert answer["verdict"]["issue"] == "thp-split-page-fault-livelock"
    assert answer["verdict"]["confidence"] == "confirmed"
    assert [spinner["pid"] for spinner in answer["spinners"]] == [151, 152, 153, 154]
    assert [splitter["comm"] for splitter in answer["splitters"]] == ["splitter"]


def test_what_the_log_alone_tells_is_not_sure(vmcore: pathlib.Path) -> None:
    # This small dump does not have the tables that stand in for a vmlinux.
    answer = vmcore_thp.analyze(str(vmcore), options=["--no-debuginfod"])
    assert answer["verdict"]["confidence"] == "possible"
    with pytest.raises(vmcore_thp.Error, match="no vmlinux of 6.1.0-56-cloud-amd64"):
        vmcore_thp.stacks(vmcore, options=["--no-debuginfod"])


@pytest.mark.parametrize("name", ["analyze", "bt", "ps", "runq", "dmesg", "info", "mod"])
def test_documents_are_as_their_schemas_say(name: str, vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    schema = vmcore_thp.schema(name)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(vmcore_thp.command(name, vmcore, profile))
    # It is a schema that refuses something.
    assert not validator.is_valid({})


def test_the_same_as_on_the_command_line(vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    program = os.path.join(os.path.dirname(sys.executable), "vmcore-thp")
    done = subprocess.run([program, "-q", "analyze", "--format", "json", vmcore, profile], capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout) == vmcore_thp.analyze(vmcore, profile)


def test_stacks_of_cpus_and_of_tasks(vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    every = vmcore_thp.stacks(vmcore, profile)["stacks"]
    assert [stack["cpu"] for stack in every] == [0, 1, 2, 3]
    (first,) = vmcore_thp.stacks(vmcore, profile, cpus=[0])["stacks"]
    assert first == every[0]
    assert "handle_mm_fault" in [frame["symbol"] for frame in first["frames"]]
    (splitter,) = vmcore_thp.stacks(vmcore, profile, comm="splitter", all=True)["stacks"]
    assert splitter == vmcore_thp.stacks(vmcore, profile, pids=[147])["stacks"][0]
    assert len(vmcore_thp.stacks(vmcore, profile, all=True)["stacks"]) > 20
    assert all(stack["state"] == "R" for stack in vmcore_thp.stacks(vmcore, profile, state="R")["stacks"])


def test_values_of_the_proof_are_in_memory(vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    evidence = vmcore_thp.analyze(vmcore, profile)["spinners"][0]["evidence"]
    # Words: what is shorter has leading zeros to leave out.
    words = [item for item in evidence if item["value"].startswith("0x") and len(item["value"]) > 10]
    words = [item for item in words if item["space"] in ("kernel", "physical")]
    assert {item["space"] for item in words} == {"kernel", "physical"}
    for item in words:
        value = vmcore_thp.read(vmcore, int(item["address"], 16), 8, profile, physical=item["space"] == "physical")
        assert int.from_bytes(value, "little") == int(item["value"], 16), item


def test_memory_of_any_length(vmcore: pathlib.Path, profile: pathlib.Path) -> None:
    task = int(vmcore_thp.stacks(vmcore, profile, pids=[151])["stacks"][0]["task"], 16)
    whole = vmcore_thp.read(vmcore, task, 61, profile)
    assert len(whole) == 61 and any(whole)
    assert vmcore_thp.read(vmcore, task + 3, 20, profile) == whole[3:23]
    assert vmcore_thp.read(vmcore, task, 0, profile) == b""
    banner = vmcore_thp.command("sym", vmcore, profile, "linux_banner")
    assert "linux_banner" in json.dumps(banner)
