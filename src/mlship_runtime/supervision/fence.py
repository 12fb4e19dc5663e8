"""The fence: a service takes no orders from a deployer that another one has overtaken."""

from __future__ import annotations

import contextlib
import os

from mlship_runtime.errors import Fenced, SiteError
from mlship_runtime.files import locked, make_folder, write_atomic
from mlship_runtime.supervision.layout import Layout


def highest(layout: Layout) -> int:
    """The highest fence number seen by the service, 0 before the first."""
    text = ""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        text = layout.fence.read_text(encoding="ascii").strip()
    if text and not text.isdigit():
        raise SiteError(f"{layout.fence} cannot be read", cause="it is not a number")
    return int(text or 0)


def admit(layout: Layout, number: int | None) -> None:
    """Let an order with this fence number pass, and remember the number durably before anything is done.

    Raises Fenced if a higher one was seen. An order without a number passes: no ledger stands behind it."""
    if number is None:
        return
    if layout.folder.is_dir() and not os.access(layout.folder, os.W_OK):
        _compare(layout, number)  # in a unit: whoever gave the order has written its number down before
        return
    make_folder(layout.folder)
    with locked(layout.fence_lock, f"the service {layout.name}"):
        if _compare(layout, number):
            write_atomic(layout.fence, f"{number}\n".encode("ascii"), 0o644)


def _compare(layout: Layout, number: int) -> bool:
    """Whether `number` is higher than any seen; raises Fenced if it is lower."""
    seen = highest(layout)
    if number < seen:
        raise Fenced(
            f"the order with fence number {number} is refused",
            cause=f"{layout.name} has had orders with number {seen}: another deploy has taken over",
            fix="Look at the history, then deploy again",
        )
    return number > seen
