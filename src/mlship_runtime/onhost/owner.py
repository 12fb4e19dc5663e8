"""Whose service it is: of one target, for two would share its releases and have a history each."""

from __future__ import annotations

import contextlib
from typing import Any

from mlship_runtime.errors import SiteError
from mlship_runtime.files import locked, make_folder, write_atomic
from mlship_runtime.supervision.layout import Layout


def stranger_to(layout: Layout, request: dict[str, Any]) -> str | None:
    """The target that the service belongs to, if it is not the one that asks."""
    asks, owner = request.get("target"), ""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        owner = layout.owner.read_text(encoding="utf-8").strip()
    return owner if owner and asks and owner != asks else None


def admit(layout: Layout, request: dict[str, Any]) -> None:
    """Let an order of the target pass to which the service belongs; that of the first one makes it its own.
    Raises SiteError for any other, and OSError."""
    if not request.get("target"):
        return
    make_folder(layout.folder)
    with locked(layout.fence_lock, f"the service {layout.name}"):
        owner = stranger_to(layout, request)
        if owner:
            raise SiteError(
                f"the service {layout.name} in {layout.site.base} belongs to the target {owner}",
                cause="two targets with one `base` would share its releases, and have a history each",
                fix=f"Give this target a `base` or a `service` of its own, or call it {owner}",
            )
        if not layout.owner.exists():
            write_atomic(layout.owner, f"{request['target']}\n".encode(), 0o644)
