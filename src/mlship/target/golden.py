"""The proof made of `invoke`, for adapters that can address a candidate."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Protocol

from mlship.bundle.open import OpenBundle
from mlship.errors import UnhealthyError
from mlship.store.records import whoami
from mlship.target.deployment import Proof
from mlship.target.protocol import Place
from mlship_runtime.client import Request, Response
from mlship_runtime.golden import Difference, compare, rows_of
from mlship_runtime.supervision.probe import DIGEST_HEADER

ROWS_AT_A_TIME = 32


class Invoker(Protocol):
    """What the proof needs of an adapter."""

    place: Place

    def invoke(self, request: Request, release: int | None = None) -> Response:
        """See Adapter.invoke."""
        ...


def prove_by_invoking(adapter: Invoker, release: int, golden: Mapping[str, Any]) -> Proof:
    """Send the golden rows to `release` and compare the answers with those recorded at build.

    Raises UnhealthyError if the release refuses them. The digest in the Proof is the one that it answered
    with.
    """
    rows = int(golden["inputs"][0]["shape"][0])
    tolerance = golden["tolerance"]
    digest, max_abs, max_rel, differences = "", 0.0, 0.0, []
    for start in range(0, rows, ROWS_AT_A_TIME):
        part = rows_of(golden, start, min(start + ROWS_AT_A_TIME, rows))
        answer = _ask(adapter, part["inputs"], release)
        digest = answer.headers.get(DIGEST_HEADER, "")
        compared = compare(part["outputs"], json.loads(answer.body)["outputs"], tolerance)
        max_abs, max_rel = max(max_abs, compared.max_abs), max(max_rel, compared.max_rel)
        differences += [_at(start, difference) for difference in compared.differences]
    return Proof(
        digest=digest,
        rows=rows,
        max_abs=max_abs,
        max_rel=max_rel,
        by=whoami(),
        differences=tuple(differences),
    )


def golden_of(bundle: OpenBundle) -> Mapping[str, Any]:
    """A bundle's golden examples with the tolerance of each output beside them."""
    return {**bundle.golden(), "tolerance": bundle.spec.tolerance}


def _at(start: int, difference: Difference) -> str:
    """A difference of a part that began at row `start`, with its row in the whole."""
    row = None if difference.row is None else start + difference.row
    return str(dataclasses.replace(difference, row=row))


def _ask(adapter: Invoker, inputs: list[Any], release: int) -> Response:
    path = f"/v2/models/{adapter.place.service}/infer"
    answer = adapter.invoke(Request(path, json.dumps({"inputs": inputs}).encode()), release)
    if answer.status != 200:
        raise UnhealthyError(
            f"the candidate refused the golden examples with status {answer.status}",
            cause=answer.body[:300].decode(errors="replace"),
            fix=f"See mlship logs --release {release}",
        )
    return answer
