"""Reads what `vmcore-thp analyze --format json` calls evidence with drgn, at the same addresses.

Run by drgn itself: drgn -c VMCORE -s VMLINUX drgn_evidence.py ANALYZE.json [control]
A value may be 1, 2, 4 or 8 bytes wide: evidence does not say, so any width that gives the value counts, widest first.
With `control` the dump is of a machine that does not hang: then there must be no circle of who waits for whom.
"""

import json
import sys

from drgn import FaultError


def as_number(text):
    try:
        return int(str(text), 0)
    except ValueError:
        return None


class Reader:
    """Reads each place once."""

    def __init__(self):
        self.seen = {}

    def check(self, evidence):
        """True or False for a value at an address; None for what has none: a register, a line of the log."""
        address, value = as_number(evidence["address"]), as_number(evidence["value"])
        if address is None or value is None:
            return None
        key = (evidence["space"], address, value)
        if key not in self.seen:
            self.seen[key] = self.matches(*key)
            if not self.seen[key]:
                print(f"differs: {evidence['what']} at {evidence['address']} is not {evidence['value']}")
        return self.seen[key]

    @staticmethod
    def matches(space, address, value):
        for width in (8, 4, 2, 1):
            try:
                found = prog.read(address, width, space == "physical")  # noqa: F821
            except FaultError:
                continue
            if 0 <= value < 1 << (8 * width) and int.from_bytes(found, "little") == value:
                return True
        return False


def check_edges(report, reader):
    """The circles edge by edge, each with how many values show it; whether one edge rests on nothing that can be read."""
    missing = 0
    for shape in report["shapes"]:
        print(f"{shape['kind']}{', a circle' if shape['is_cycle'] else ''}:")
        for edge in (report["edges"][at] for at in shape["edges"]):
            results = [reader.check(evidence) for evidence in edge["evidence"]]
            shown = results.count(True)
            print(f"  {edge['from']} -> {edge['to']} ({edge['kind']}): {shown} values")
            missing += shape["is_cycle"] and not shown
    return missing


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        report = json.load(file)
    circles = [shape for shape in report["shapes"] if shape["is_cycle"]]
    if "control" in sys.argv[2:]:
        print(f"control: {len(report['edges'])} edges, {len(circles)} circles")
        sys.exit(1 if circles or report["spinners"] else 0)
    reader = Reader()
    missing = check_edges(report, reader)
    holders = report["spinners"] + report["splitters"] + report["edges"] + report["findings"]
    if report["known_issue"]:
        holders.append(report["known_issue"])
    for holder in holders:
        for evidence in holder["evidence"]:
            reader.check(evidence)
    wrong = list(reader.seen.values()).count(False)
    by_values = sum(any(reader.check(evidence) for evidence in edge["evidence"]) for edge in report["edges"])
    print(f"edges: {len(report['edges'])}, {by_values} shown by values that were read again; {missing} of circles are not")
    print(f"evidence: {len(reader.seen)} values read again with drgn, {wrong} differ")
    sys.exit(1 if wrong or missing or not reader.seen else 0)


main()
