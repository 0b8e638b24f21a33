"""The corpora that come with the sources: for each target the smallest inputs that reach what its fuzzing has reached, in one
archive, `fuzz/corpora/TARGET.tar.xz`.
"""

import hashlib
import io
import lzma
import tarfile
from pathlib import Path

# A target's archive, in bytes: what the fuzzing of years may add to everybody's clone stays small.
LIMIT = 96 * 1024


def unpack(archive: Path, corpus: Path) -> int:
    """Puts the inputs of an archive among a target's inputs; how many they are."""
    if not archive.is_file():
        return 0
    with tarfile.open(archive, "r:xz") as tar:
        members = [member for member in tar if member.isfile()]
        for member in members:
            data = tar.extractfile(member).read()
            (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    return len(members)


def packed(inputs: list[bytes]) -> bytes:
    """An archive that depends on nothing but the inputs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for data in inputs:
            entry = tarfile.TarInfo(hashlib.sha1(data).hexdigest())
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return lzma.compress(out.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def pack(corpus: Path, seeds: set[bytes], archive: Path) -> tuple[int, int]:
    """Writes the archive of a minimized corpus without the seeds, which are made anew each time. How many inputs are in it,
    and how many were left out for its size: the largest."""
    inputs = sorted({path.read_bytes() for path in corpus.iterdir()} - seeds, key=lambda data: (len(data), data))
    kept = len(inputs)
    while kept and len(data := packed(inputs[:kept])) > LIMIT:
        kept = min(kept - 1, int(kept * LIMIT / len(data)))
    archive.unlink(missing_ok=True)
    if kept:
        archive.parent.mkdir(exist_ok=True)
        archive.write_bytes(data)
    return kept, len(inputs) - kept
