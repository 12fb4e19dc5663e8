"""Release records, releases/N.json: which bundle a release runs, with which settings, from which folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlship_runtime.errors import SiteError
from mlship_runtime.files import read_json


def read_record(path: Path) -> dict[str, Any]:
    """A release record; raises SiteError if there is none or a newer mlship wrote it."""
    record = read_json(path)
    if record is None:
        raise SiteError(f"there is no release record {path}", fix="Stage the release first")
    if record.get("schemaVersion", 0) > 1:
        raise SiteError(f"{path} was made by a newer mlship", fix="Upgrade mlship here")
    return record
