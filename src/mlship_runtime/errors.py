"""The faults of the ground floor: what runs on a target and what both sides need.

RuntimeFault               anything that goes wrong here
├── InvalidBundle          bytes that are not what they should be (exit 4)
├── BadInput               a request that does not fit the schema (HTTP 400); `field` names the column
├── NotReady               not answering yet, or no longer (HTTP 503)
├── Fenced                 a command with a lower fence number than one seen before
├── StoreFault             a store in a folder: its disk, a key, a value that is too large (exit 5)
└── SiteError              the host: processes, files, ports

A message is one line: what happened, the probable cause, the next step. `kind` names the class on the wire.
"""

from __future__ import annotations


class RuntimeFault(Exception):
    """What happened (`what`), its probable `cause` and the next step (`fix`), shown as one line."""

    exit_code = 1
    kind = "unexpected"

    def __init__(self, what: str, *, cause: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.cause, self.fix = (_one_line(text) for text in (what, cause, fix))

    def __str__(self) -> str:
        text = f"{self.what}: {self.cause}" if self.cause else self.what
        return f"{text}. {self.fix}" if self.fix else text


class InvalidBundle(RuntimeFault):
    """A manifest, spec, layer or unpacked file is damaged, incomplete or not allowed."""

    exit_code = 4
    kind = "bundle"


class BadInput(RuntimeFault):
    """A request that cannot be answered as it is; `field` is the column or tensor at fault."""

    exit_code = 2
    kind = "input"

    def __init__(self, what: str, *, field: str = "", cause: str = "", fix: str = "") -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.field = field


class NotReady(RuntimeFault):
    """The release does not answer yet, or no longer."""

    exit_code = 6
    kind = "not-ready"


class Fenced(RuntimeFault):
    """The command comes from a deployer that another one has overtaken."""

    exit_code = 7
    kind = "fenced"


class StoreFault(RuntimeFault):
    """A store in a folder cannot do what was asked, or will not."""

    exit_code = 5
    kind = "store"


class SiteError(RuntimeFault):
    """The host cannot do what was asked: a process, a file, a port, a permission."""

    exit_code = 6
    kind = "site"


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
