"""Opens the memory dump of a crashed Linux machine and proves what hung it.

    import vmcore_thp

    verdict = vmcore_thp.analyze("vmcore", "vmlinux")["verdict"]
    print(verdict["issue"], verdict["confidence"], verdict["summary"])

Each call reads the dump in a process of its own, while other threads of this one go on.
"""

from ._commands import analyze, command, read, schema, stacks
from ._errors import Error, Inconclusive
from ._native import __version__

__all__ = ["Error", "Inconclusive", "__version__", "analyze", "command", "read", "schema", "stacks"]
