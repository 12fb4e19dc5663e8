"""A refusal that the command line shows as one line."""

from __future__ import annotations


class Failure(Exception):
    """What happened, its probable cause and the next step."""

    def __init__(self, what: str, *, cause: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.cause, self.fix = what, cause, fix


def reason(error: BaseException) -> str:
    """An exception of foreign code in one line, its class first; at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {' '.join(lines)}" if lines else type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def ended(who: str, end: SystemExit) -> Failure:
    """Of foreign code that called sys.exit."""
    return Failure(
        f"{who} ended the process (SystemExit {0 if end.code is None else end.code})",
        fix="Take the call of sys.exit out: code that a build or a server calls must return",
    )
