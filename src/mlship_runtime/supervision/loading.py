"""Turns a release record into a proved pipeline: verified, loaded, equal to its golden examples."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship_runtime.bundle.spec import Spec
from mlship_runtime.bundle.tree import BundleTree, open_tree
from mlship_runtime.bundle.verify import verify_tree
from mlship_runtime.capacity import threads_for, worker_count
from mlship_runtime.errors import NotReady, SiteError
from mlship_runtime.golden import Comparison, compare

if TYPE_CHECKING:  # numpy and all that comes with it are the bundle's: not before it is verified
    from mlship_runtime.model.pipeline import Pipeline


def load(record: Mapping[str, Any], verified: str = "", threads: int = 1) -> Pipeline:
    """The pipeline of a release. `verified` is the digest of a tree that need not be verified again.

    Raises InvalidBundle for files that are not as indexed, NotReady if it answers differently than at
    build, and whatever the release's own code raises."""
    if not (sys.flags.isolated and sys.flags.no_site):
        raise SiteError("a release must not see the host's packages", fix="Start Python with -I -S")
    tree = open_tree(record)
    if verified != tree.digest:
        verify_tree(tree)
    sys.path[:0] = tree.search_path(record["platform"])
    from mlship_runtime.model.pipeline import Pipeline

    pipeline = Pipeline(tree, threads)
    check_golden(pipeline, tree)
    if record["settings"].get("batch"):
        check_apart(pipeline, tree)
    return pipeline


def threads_of(settings: Mapping[str, Any]) -> int:
    """How many threads each worker of a release with these settings runs the model on."""
    workers = worker_count(int(settings.get("workers", 1)))
    return threads_for(workers, shared=bool(settings.get("batch")))


def check_golden(pipeline: Pipeline, tree: BundleTree) -> None:
    """Raise NotReady with the first difference unless the golden examples come back as recorded."""
    spec = tree.spec
    golden, columns = _golden(tree)
    compared = _compared(golden, pipeline.predict(columns), spec)
    if not compared.equal:
        count = len(compared.differences)
        raise NotReady(
            f"{spec.name} answers differently here than at build ({count} of its golden answers)",
            cause=str(compared.differences[0]),
            fix="Look for what its reduction takes from the host: environment, files, time",
        )
    pipeline.check_row(columns)


def check_apart(pipeline: Pipeline, tree: BundleTree) -> None:
    """Raise NotReady unless each golden example is answered alone as it is among the others: only then may
    requests share a run."""
    import numpy as np

    golden, columns = _golden(tree)
    rows = len(next(iter(columns.values())))
    alone = [
        pipeline.predict({name: array[row : row + 1] for name, array in columns.items()})
        for row in range(rows)
    ]
    answered = {name: np.concatenate([results[name] for results in alone]) for name in alone[0]}
    compared = _compared(golden, answered, tree.spec)
    if not compared.equal:
        raise NotReady(
            f"{tree.spec.name} answers a row alone differently than among others",
            cause=str(compared.differences[0]),
            fix="Leave `batch_wait` at 0: requests cannot share a run",
        )


def _golden(tree: BundleTree) -> tuple[dict[str, Any], dict[str, Any]]:
    """The golden examples, and their inputs as columns."""
    from mlship_runtime.model.columns import check_columns
    from mlship_runtime.model.tensors import from_tensors

    golden = json.loads(Path(tree.path(tree.spec.golden["path"])).read_bytes())
    return golden, check_columns(from_tensors(golden["inputs"], tree.spec.inputs), tree.spec.inputs)


def _compared(golden: Mapping[str, Any], results: Mapping[str, Any], spec: Spec) -> Comparison:
    from mlship_runtime.model.tensors import to_tensors

    return compare(golden["outputs"], to_tensors(results, spec.outputs), spec.tolerance)
