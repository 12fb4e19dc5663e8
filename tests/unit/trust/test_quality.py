"""An attestation of quality is of one bundle, by a trusted key, and says what was asked and found."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sample_signing import Signer

from mlship.trust.provenance import predicate
from mlship.trust.provenance import write_statement as write_provenance
from mlship.trust.quality import Compared, Quality, Question, read_quality
from mlship_runtime.bundle import canonical
from mlship_runtime.errors import InvalidBundle

SIGNER, OTHER = Signer(41), Signer(42)
BUNDLE, BEFORE = "sha256:" + "a" * 64, "sha256:" + "b" * 64
FOUND = Quality(
    question=Question("r2", "score", "", "c" * 64, "price"),
    count=143,
    value=-0.25,
    bounds={"min": -1.0, "margin": 0.5},
    compared=Compared(BEFORE, 0.125),
    at="2026-11-21T20:00:00+00:00",
    by="ci@builder",
)


@pytest.mark.parametrize("compared", [FOUND.compared, None])
def test_what_was_found_is_read(compared: Compared | None) -> None:
    said = Quality(**{**vars(FOUND), "compared": compared})
    envelope = SIGNER.envelope(said.statement(BUNDLE))
    assert read_quality(envelope, [OTHER.key, SIGNER.key], BUNDLE) == (SIGNER.key, said)


def test_another_key_bundle_or_kind_is_refused() -> None:
    envelope = SIGNER.envelope(FOUND.statement(BUNDLE))
    with pytest.raises(InvalidBundle, match="another key"):
        read_quality(envelope, [OTHER.key], BUNDLE)
    with pytest.raises(InvalidBundle, match="of another bundle"):
        read_quality(envelope, [SIGNER.key], BEFORE)
    provenance = write_provenance(BUNDLE, predicate([], mlship="1", locked=True))
    with pytest.raises(InvalidBundle, match="predicateType"):
        read_quality(SIGNER.envelope(provenance), [SIGNER.key], BUNDLE)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "no value": lambda said: said.pop("value"),
    "a text": lambda said: said.update(value="1"),
    "true": lambda said: said.update(value=True),
    "rows of no digest": lambda said: said.update(rows={}),
    "a bound more": lambda said: said["bounds"].update(about=1),
    "a bound that is none": lambda said: said["bounds"].update(min=None),
    "compared with no digest": lambda said: said["compared"].update(digest="prod"),
    "less than no rows": lambda said: said.update(count=-1),
    "nobody": lambda said: said.update(measuredBy=""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_statements_are_refused(name: str) -> None:
    statement = json.loads(FOUND.statement(BUNDLE))
    CHANGES[name](statement["predicate"])
    with pytest.raises(InvalidBundle):
        read_quality(SIGNER.envelope(canonical.encode(statement)), [SIGNER.key], BUNDLE)
