"""Reads what `vmcore-thp analyze --format json` calls evidence with drgn, at the same addresses.

Run by drgn itself: drgn -c VMCORE -s VMLINUX drgn_evidence.py ANALYZE.json
A value may be 1, 2, 4 or 8 bytes wide: evidence does not say, so any width that gives the value counts, widest first.
"""

import json
import sys

from drgn import FaultError


def claims(report):
    """Every piece of evidence of the report, each place and value once."""
    seen = set()
    holders = report["spinners"] + report["splitters"] + report["edges"] + report["findings"]
    for holder in holders:
        for evidence in holder["evidence"]:
            key = (evidence["address"], evidence["value"], evidence["what"])
            if None not in key and key not in seen:
                seen.add(key)
                yield evidence


def is_physical(evidence):
    """Page-table entries are named by physical address."""
    return evidence["what"].endswith(" entry")


def as_number(text):
    try:
        return int(text, 0)
    except ValueError:
        return None


def matches(evidence, address, value):
    for width in (8, 4, 2, 1):
        try:
            found = int.from_bytes(prog.read(address, width, is_physical(evidence)), "little")  # noqa: F821
        except FaultError:
            continue
        if found == value & ((1 << (8 * width)) - 1) and value < 1 << (8 * width):
            return True
    return False


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        report = json.load(file)
    checked = wrong = 0
    for evidence in claims(report):
        address, value = as_number(evidence["address"]), as_number(str(evidence["value"]))
        if address is None or value is None:
            continue
        checked += 1
        if not matches(evidence, address, value):
            wrong += 1
            print(f"differs: {evidence['what']} at {evidence['address']} is not {evidence['value']}")
    print(f"evidence: {checked} values read again with drgn, {wrong} differ")
    sys.exit(1 if wrong or not checked else 0)


main()
