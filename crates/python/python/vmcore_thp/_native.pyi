from collections.abc import Sequence

__version__: str

def run(words: Sequence[str], program: str | None = None) -> int: ...
