"""What is raised where there is no answer."""

from __future__ import annotations


class Error(Exception):
    """There is no answer: the message says why, `hint` what to do about it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"

    def __reduce__(self) -> tuple[type[Error], tuple[str, str | None]]:
        # So that it comes out of a process pool as it was.
        return type(self), (self.message, self.hint)


class Inconclusive(Error):
    """The dump does not have what an answer needs. That is never the same as "nothing is wrong"."""


def from_messages(messages: str, status: int) -> Error:
    """The error that the program told on standard error before it ended with `status`."""
    lines = messages.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("error: ")]
    if not starts:
        return Error(f"the process that read the dump ended with status {status} and gave no reason", messages.strip() or None)
    message, hint = lines[starts[0]].removeprefix("error: "), None
    for line in lines[starts[0] + 1 :]:
        if line.startswith("hint: "):
            hint = line.removeprefix("hint: ")
            break
        # A wrong option is followed by how to use it.
        if not line or line.startswith("Usage: "):
            break
        message += "\n" + line
    return (Inconclusive if status == 3 else Error)(message, hint)
