"""Prints vmcore-thp's JSON, from standard input, without the `dump` object.

The argument is the exit status of the run, which becomes part of the answer.
"""

import json
import sys


def main() -> None:
    document = json.load(sys.stdin)
    document.pop("dump", None)
    json.dump({"status": int(sys.argv[1]), "answer": document}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
