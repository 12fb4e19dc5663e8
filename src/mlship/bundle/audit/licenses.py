"""What a wheel says of its licence, in the form of CycloneDX. Format: core metadata specification 2.4."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlship.errors import BuildError

_MAX_METADATA = 4 << 20
_EXPRESSION = re.compile(r"[A-Za-z0-9.+() -]{1,200}")
_CLASSIFIER = "License :: OSI Approved :: "
_LONGEST = 100  # characters of a name; what is longer is the text of a licence


def wheel_licenses(path: Path) -> list[dict[str, Any]]:
    """The licences of the wheel at `path`: its SPDX expression, else its classifiers, else the name that it
    gives; empty if it says nothing. Raises BuildError if it cannot be read."""
    headers = list(_headers(_metadata(path)))
    for value in _of(headers, "license-expression"):
        if _EXPRESSION.fullmatch(value):
            return [{"expression": value}]
    named = [value.removeprefix(_CLASSIFIER) for value in _of(headers, "classifier") if _CLASSIFIER in value]
    named = named or [value for value in _of(headers, "license") if len(value) <= _LONGEST]
    return [{"license": {"name": name}} for name in sorted(set(named))]


def _metadata(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                folder, _, name = entry.filename.partition("/")
                if folder.endswith(".dist-info") and name == "METADATA" and entry.file_size <= _MAX_METADATA:
                    return archive.read(entry).decode("utf-8", "replace")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, OSError) as error:
        raise BuildError(
            f"{path.name} cannot be read", cause=str(error), fix="Remove it from the cache"
        ) from error
    return ""


def _headers(metadata: str) -> Iterator[tuple[str, str]]:
    """Name in small letters and value of each line before the description; lines that go on are left out."""
    for line in metadata.splitlines():
        if not line:
            return
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace() and value.strip().isprintable():
            yield name.lower(), value.strip()


def _of(headers: list[tuple[str, str]], wanted: str) -> list[str]:
    return [value for name, value in headers if name == wanted and value and value != "UNKNOWN"]
