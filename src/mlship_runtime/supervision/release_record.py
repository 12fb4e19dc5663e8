"""Release records, releases/N.json: which bundle a release runs, with which settings, from which folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlship_runtime.errors import SiteError
from mlship_runtime.files import read_numbered

IN_IMAGE = "/mlship/release.json"  # where it stands in a container image


def read_record(path: Path) -> dict[str, Any]:
    """A release record; raises SiteError if there is none or a newer mlship wrote it."""
    record = read_numbered(path)
    if record is None:
        raise SiteError(f"there is no release record {path}", fix="Stage the release first")
    return record
