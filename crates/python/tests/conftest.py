"""The dump that comes with the source."""

import pathlib

import pytest

_DATA = pathlib.Path(__file__).parents[3] / "testdata" / "6.1-cloud-amd64"


@pytest.fixture(scope="session")
def vmcore() -> pathlib.Path:
    return _DATA / "thp-livelock.vmcore"


@pytest.fixture(scope="session")
def profile() -> pathlib.Path:
    return _DATA / "vmlinux.profile"
