"""Holds the reader of dumps against a second one (independent.py) on whole and damaged dumps of every form.

A page that vmcore-thp reads must be there for the other, too, with the same bytes. Of a whole dump both must read the same pages; what
vmcore-thp will not read of a damaged one is only counted.
"""

import argparse
import itertools
import random
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import campaign
import forms
import independent
import seeds
import sources

ROOT = Path(__file__).resolve().parents[2]
# Files that one run of the first reader looks at.
BATCH = 200


@dataclass
class Variant:
    name: str
    data: bytes
    whole: bool


def small_forms() -> list[sources.File]:
    """A few pages of real dumps in every form that can be made without the kernel's memory map."""
    files = []
    for name in ("thp-livelock", "soft-lockup"):
        core = seeds.small((sources.DATA / f"{name}.vmcore").read_bytes(), 40)
        headers = forms.header_offsets(core)
        table, notes = (headers.start, 56 * len(headers)), forms.notes(core)
        places = {"anywhere": [(0, len(core))], "headers": [(0, 64), table], "program headers": [table], "notes": [notes]}
        files.append(sources.File(f"elf-{name}", "dump", core, places))
        packed, parts = forms.kdump(core)
        files.append(sources.File(f"kdump-{name}", "dump", packed, sources.prefixed("kdump", parts)))
        for form, image in (("elf", core), ("kdump", packed)):
            flat, parts = forms.flattened(image)
            files.append(sources.File(f"flat-{form}-{name}", "dump", flat, sources.prefixed("flattened", parts)))
    return files


def synthetic(binary: Path, work: Path) -> list[sources.File]:
    """Whole small machines, in every compression."""
    files = []
    for form in ("elf", "kdump", "kdump-zlib", "kdump-lzo", "kdump-snappy", "kdump-zstd"):
        directory = work / form
        command = [binary, "synth", "thp-livelock", "--kernel", "6.1", "--form", form, "-o", directory]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        data = (directory / "vmcore").read_bytes()
        if form == "elf":
            headers = forms.header_offsets(data)
            table = (headers.start, 56 * len(headers))
            places = {"headers": [(0, 64), table], "program headers": [table], "notes": [forms.notes(data)]}
        else:
            places = sources.prefixed("kdump", forms.kdump_parts(data))
        files.append(sources.File(f"synth-{form}", "dump", data, places))
    return files


def variants(files: list[sources.File], seed: int, count: int):
    for file in files:
        yield Variant(f"{file.name}, whole", file.data, True)
    for index in range(count):
        rng = random.Random(f"{seed}:{index}")
        file = rng.choice(files)
        kind, data = campaign.damage(file, rng)
        yield Variant(f"{index}: {file.name}, {kind}", data, False)


def first_reader(binary: Path, paths: list[Path]) -> dict[str, dict[int, int] | None]:
    """The checksum of each page that vmcore-thp reads of each dump; `None` where it refuses the dump."""
    done = subprocess.run([binary, "pages", str(independent.MOST_PAGES), *paths], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, dict[int, int] | None] = {}
    for line in done.stdout.splitlines():
        word, rest = line.split(" ", 1)
        match word:
            case "dump":
                pages = found[rest] = {}
            case "refused":
                found[rest] = None
            case frame:
                pages[int(frame, 16)] = int(rest, 16)
    return found


def compare(variant: Variant, ours: dict[int, int] | None) -> Counter:
    """Counts of pages by what the two readers say of them. What counts as "WRONG" is a fault."""
    counts: Counter = Counter()
    try:
        theirs = independent.open_dump(variant.data)
    except independent.Refused:
        counts["refused by both" if ours is None else "WRONG: read, refused by the other" if ours else "empty"] += 1
        return counts
    if ours is None:
        counts["WRONG: whole, but refused" if variant.whole else "refused"] += 1
        return counts
    for frame, checksum in ours.items():
        try:
            same = any(zlib.crc32(page) == checksum for page in theirs.page(frame))
            counts["same" if same else "WRONG: other bytes"] += 1
        except independent.Unreadable:
            counts["WRONG: read, not there for the other"] += 1
    for frame in itertools.islice(theirs.pages(), independent.MOST_PAGES):
        if frame not in ours and len(ours) < independent.MOST_PAGES and readable(theirs, frame):
            counts["WRONG: whole, but not read" if variant.whole else "not read"] += 1
    return counts


def readable(dump: independent.Elf | independent.Kdump, frame: int) -> bool:
    try:
        return bool(dump.page(frame))
    except independent.Unreadable:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first variant, to run one again")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "vmcore-thp")
    parser.add_argument("--reader", type=Path, default=ROOT / "target" / "release" / "examples" / "dump")
    options = parser.parse_args()
    for binary in (options.binary, options.reader):
        if not binary.is_file():
            parser.error(f"{binary} is not there: cargo build --release, with -p vmcore-dump --examples")
    total: Counter = Counter()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        files = [*small_forms(), *synthetic(options.binary, work)]
        all_variants = itertools.islice(variants(files, options.seed, options.variants), options.first, None)
        while batch := list(itertools.islice(all_variants, BATCH)):
            paths = [work / str(index) for index in range(len(batch))]
            for path, variant in zip(paths, batch):
                path.write_bytes(variant.data)
            read = first_reader(options.reader, paths)
            for path, variant in zip(paths, batch):
                counts = compare(variant, read[str(path)])
                total += counts
                for what in counts:
                    if what.startswith("WRONG"):
                        print(f"{variant.name}: {what}, {counts[what]} pages", flush=True)
    for what, count in sorted(total.items()):
        print(f"{count:10} {what}")
    return 1 if any(what.startswith("WRONG") for what in total) or not total["same"] else 0


if __name__ == "__main__":
    sys.exit(main())
