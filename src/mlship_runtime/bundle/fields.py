"""Reads typed fields out of decoded JSON: what manifest and spec share. Each deviation names its place."""

from __future__ import annotations

import re
from typing import Any

from mlship_runtime.errors import InvalidBundle

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST = 1 << 53  # above this other JSON readers lose digits


class Fields:
    """One JSON object and the words for where it stands, e.g. `the manifest's layers[3]`."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise InvalidBundle(f"{place} is not an object")
        self.values: dict[str, Any] = value
        self.place = place

    def only(self, *allowed: str) -> Fields:
        """Refuse every key that is not `allowed`."""
        for key in self.values:
            if key not in allowed:
                raise self.wrong(key, "is not known here")
        return self

    def wrong(self, key: str, why: str) -> InvalidBundle:
        return InvalidBundle(f"{self.place}: {key[:80]!r} {why}")

    def get(self, key: str) -> Any:
        if key not in self.values:
            raise self.wrong(key, "is missing")
        return self.values[key]

    def text(self, key: str, limit: int = 1000) -> str:
        value = self.get(key)
        if not isinstance(value, str) or not value or len(value) > limit:
            raise self.wrong(key, f"is not a text of 1 to {limit} characters")
        return value

    def constant(self, key: str, expected: str) -> None:
        if self.get(key) != expected:
            raise self.wrong(key, f"is not {expected!r}")

    def number(self, key: str) -> int:
        """A whole number from 0 to 2^53 (bool is none)."""
        value = self.get(key)
        if type(value) is not int or not 0 <= value <= _LARGEST:
            raise self.wrong(key, "is not a whole number from 0 on")
        return value

    def measure(self, key: str) -> float:
        """A finite number from 0 on."""
        value = self.get(key)
        if type(value) not in (int, float) or not value >= 0:
            raise self.wrong(key, "is not a number from 0 on")
        return float(value)

    def truth(self, key: str) -> bool:
        value = self.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "is not true or false")
        return value

    def digest(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str) or not _DIGEST.fullmatch(value):
            raise self.wrong(key, "is not a sha256 digest")
        return value

    def object(self, key: str) -> Fields:
        return Fields(self.get(key), f"{self.place}: {key}")

    def array(self, key: str) -> list[Any]:
        value = self.get(key)
        if not isinstance(value, list):
            raise self.wrong(key, "is not a list")
        return value

    def objects(self, key: str) -> list[Fields]:
        place = f"{self.place}: {key}"
        return [Fields(item, f"{place}[{index}]") for index, item in enumerate(self.array(key))]

    def texts(self, key: str) -> dict[str, str]:
        """An object of texts, empty if the key is missing."""
        found = Fields(self.values.get(key, {}), f"{self.place}: {key}")
        for name, value in found.values.items():
            if not isinstance(value, str):
                raise found.wrong(name, "is not a text")
        return dict(found.values)

    def schema_version(self, known: int) -> None:
        """Refuse other schema numbers, and say so of those that a later mlship wrote."""
        number = self.number("schemaVersion")
        if number > known:
            raise InvalidBundle(
                f"{self.place} has schema version {number}",
                cause=f"it was made by a newer mlship; this one knows version {known}",
                fix="Upgrade mlship here",
            )
        if number < known:
            raise self.wrong("schemaVersion", f"is {number}, not {known}")
