"""What the pages about the module show can be typed."""

import pathlib

import pytest

_TOP = pathlib.Path(__file__).parents[3]


@pytest.mark.parametrize("page", ["crates/python/README.md", "docs/python.md"])
def test_examples_run(
    page: str,
    tmp_path: pathlib.Path,
    vmcore: pathlib.Path,
    profile: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "vmcore").symlink_to(vmcore)
    (tmp_path / "vmlinux").symlink_to(profile)
    monkeypatch.chdir(tmp_path)
    lines = (_TOP / page).read_text().splitlines()
    code = "\n".join(line[4:] for line in lines if line.startswith("    ") or not line)
    assert code.count("vmcore_thp.") >= 4
    exec(compile(code, page, "exec"), {})  # noqa: S102
    assert "thp-split-page-fault-livelock confirmed" in capsys.readouterr().out
