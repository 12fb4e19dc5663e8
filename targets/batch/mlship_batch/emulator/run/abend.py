"""How a step ends when it does not end by itself."""

from __future__ import annotations


class Abend(Exception):
    """`code` is Sxxx or Unnnn; `reason` follows it in messages."""

    def __init__(self, code: str, reason: str = "", message: str = "") -> None:
        super().__init__(message or f"{code} {reason}".strip())
        self.code, self.reason = code, reason


class Cancelled(Exception):
    """Somebody has cancelled the job."""


class NotAllocated(Exception):
    """A DD of a step cannot be had: the step is not run, and the job ends as a JCL error."""
