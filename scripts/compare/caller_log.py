"""The lockup reports of a kernel log with the caller of each line.

usage: caller_log.py RECORDS.json OUT.log

RECORDS.json is what `vmcore-thp dmesg --format json` prints. OUT.log has the form that the kernel itself prints with
CONFIG_PRINTK_CALLER, from three records before the first report to the end, so that no report has lost its head: lines
without one are nobody's. It is not written where there is none or the kernel kept no callers.
"""

import json
import sys

REPORTS = ("BUG: ", "rcu: INFO: ", "INFO: rcu", "INFO: task ", "Kernel panic")


def main(source, target):
    with open(source, encoding="utf-8") as file:
        records = json.load(file)["records"]
    starts = [i for i, record in enumerate(records) if any(report in record["text"] for report in REPORTS)]
    if not starts or any(record["caller"] is None for record in records):
        return
    with open(target, "w", encoding="utf-8") as file:
        for record in records[max(0, starts[0] - 3) :]:
            kind, number = record["caller"].split(":")
            caller = {"cpu": "C", "task": "T"}[kind] + number
            seconds, micros = divmod(record["timestamp_ns"] // 1000, 1_000_000)
            for line in record["text"].split("\n"):
                file.write(f"[{seconds:5}.{micros:06}][{caller:>6}] {line}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
