"""The attestation of a bundle's quality: which metric it reached on which held-out rows, and what was asked.

It lies beside the bundle as provenance does. One that no key signed is a note and counts for nobody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlship.trust import about
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.envelope import PAYLOAD_TYPE
from mlship_runtime.trust.keys import PublicKey
from mlship_runtime.trust.signature import open_envelope

ATTACHED_AS = "application/vnd.mlship.quality.v1.sigstore+json"
UNSIGNED_AS = PAYLOAD_TYPE
PREDICATE_TYPE = "urn:mlship:quality:1"
_PLACE = "the attestation of quality"


@dataclass(frozen=True)
class Question:
    """What was asked: a metric of an output, on rows and answers, told by the sha256 of their files
    (`answers` is a column's name, where they are in the same file). `positive` is the class that a metric of
    one class is about, empty for the others."""

    metric: str
    output: str
    positive: str
    rows: str
    answers: str

    def said(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "output": self.output,
            "positive": self.positive,
            "rows": {"sha256": self.rows},
            "answers": self.answers,
        }


@dataclass(frozen=True)
class Compared:
    """The bundle that it was held against, and what that one reached."""

    digest: str
    value: float


@dataclass(frozen=True)
class Quality:
    """What was found of one bundle: `value` on `count` rows. `bounds` are those that it kept: min, max and
    margin (how much worse than the `compared` one it may be); `at` is UTC, `by` user@host."""

    question: Question
    count: int
    value: float
    bounds: Mapping[str, float]
    compared: Compared | None
    at: str
    by: str

    def statement(self, digest: str) -> bytes:
        """The bytes to sign, for the bundle `digest`."""
        said: dict[str, Any] = {
            **self.question.said(),
            "count": self.count,
            "value": self.value,
            "bounds": dict(self.bounds),
            "measuredOn": self.at,
            "measuredBy": self.by,
        }
        if self.compared:
            said["compared"] = {"digest": self.compared.digest, "value": self.compared.value}
        return about.write_statement(digest, PREDICATE_TYPE, said)


def read_quality(envelope: bytes, keys: Iterable[PublicKey], digest: str) -> tuple[PublicKey, Quality]:
    """What a key of `keys` said of the bundle `digest`; raises InvalidBundle for another key, changed bytes,
    and a statement of another kind or bundle."""
    key, payload = open_envelope(envelope, keys)
    said = about.read_statement(payload, digest, PREDICATE_TYPE, _PLACE)
    bounds = said.object("bounds").only("min", "max", "margin")
    return key, Quality(
        question=Question(
            metric=said.text("metric"),
            output=said.text("output"),
            positive=_maybe_text(said, "positive"),
            rows=said.object("rows").text("sha256", 64),
            answers=said.text("answers"),
        ),
        count=said.number("count"),
        value=_number(said, "value"),
        bounds={name: _number(bounds, name) for name in bounds.values},
        compared=_compared(said),
        at=said.text("measuredOn"),
        by=said.text("measuredBy"),
    )


def _compared(said: Fields) -> Compared | None:
    if "compared" not in said.values:
        return None
    other = said.object("compared").only("digest", "value")
    return Compared(other.digest("digest"), _number(other, "value"))


def _maybe_text(fields: Fields, key: str) -> str:
    return fields.text(key) if fields.get(key) != "" else ""


def _number(fields: Fields, key: str) -> float:
    value = fields.get(key)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise InvalidBundle(f"{fields.place}: {key!r} is not a number")
    return float(value)
