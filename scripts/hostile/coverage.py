"""How much of the source files a corpus reaches, from what libFuzzer says at the end of a run with `-print_coverage=1`.

It counts edges of the compiled code: what the compiler inlined counts for the file of the function that it is in.
"""

import re
from collections import defaultdict
from pathlib import Path

FUNCTION = re.compile(r"^(?:UN)?COVERED_FUNC: hits: \d+ edges: (\d+)/(\d+) (.*) (\S+?):(\d+)$", re.MULTILINE)


class Coverage:
    """Edges of each function of the project, the most that any run has reached."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # (file, line, name): edges reached, edges.
        self.functions: dict[tuple[str, str, str], tuple[int, int]] = {}

    def add(self, text: str) -> None:
        """Adds what one run has said."""
        for reached, edges, name, file, line in FUNCTION.findall(text):
            path = Path(file)
            if not path.is_relative_to(self.root / "crates"):
                continue
            key = (str(path.relative_to(self.root)), line, name)
            before, _ = self.functions.get(key, (0, 0))
            self.functions[key] = (max(before, int(reached)), int(edges))

    def files(self) -> dict[str, tuple[int, int]]:
        """Edges reached and edges of each file of which anything was reached."""
        sums: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for (file, _, _), (reached, edges) in self.functions.items():
            sums[file] = (sums[file][0] + reached, sums[file][1] + edges)
        return {file: found for file, found in sorted(sums.items()) if found[0]}

    def unreached(self) -> list[str]:
        """Functions that nothing has reached in files of which something was, the largest first."""
        files = self.files()
        missed = [(edges, key) for key, (reached, edges) in self.functions.items() if not reached and key[0] in files]
        return [f"{file}:{line} {name} ({edges} edges)" for edges, (file, line, name) in sorted(missed, reverse=True)]
