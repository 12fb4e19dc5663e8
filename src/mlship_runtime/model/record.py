"""Runs examples through an unpacked bundle, twice, in a process of its own: how a build learns what it will
answer.

Job: {release, inputs: [tensors], result: FILE}, with `release` a release record; while the spec names no
outputs, all of the graph's are answered. Where reduction and model are one session, `apart` of the result is
what they answer one after the other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.bundle.tree import open_tree
from mlship_runtime.errors import InvalidBundle, RuntimeFault
from mlship_runtime.platforms import misfit, this_platform


def main(job_file: str) -> int:
    """Do the job and write its result: {ok: true, outputs, apart, reduced, python} or {ok: false, error}."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    try:
        answer = {"ok": True, **_record(job)}
    except RuntimeFault as fault:
        cause = fault.cause or (_first_line(fault.__cause__) if fault.__cause__ else "")
        error = {"kind": fault.kind, "what": fault.what, "cause": cause, "fix": fault.fix}
        answer = {"ok": False, "error": error}
    Path(job["result"]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _record(job: Mapping[str, Any]) -> dict[str, Any]:
    release = job["release"]
    why = misfit(release["platform"], this_platform())
    if why:
        raise InvalidBundle("the bundle's runtime does not run here", cause=why)
    tree = open_tree(release)
    sys.path[:0] = tree.search_path(release["platform"])
    from mlship_runtime.model.pipeline import Pipeline
    from mlship_runtime.model.tensors import from_tensors, to_tensors

    pipeline = Pipeline(tree)
    columns = from_tensors(job["inputs"], tree.spec.inputs)
    reduced = pipeline.reduce({name: array.copy() for name, array in columns.items()})
    again = pipeline.reduce(columns)
    _check_repeated(reduced, again)
    apart = pipeline.run(reduced)
    outputs = pipeline.predict(columns) if pipeline.fused else apart
    return {
        "outputs": to_tensors(outputs, _specs(outputs)),
        "apart": to_tensors(apart, _specs(apart)) if pipeline.fused else None,
        "reduced": to_tensors(reduced, _specs(reduced)),
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
    }


def _specs(arrays: Mapping[str, Any]) -> list[TensorSpec]:
    from mlship_runtime.model.datatypes import datatype_of

    return [
        TensorSpec(name, datatype_of(array.dtype), (-1, *array.shape[1:]), False)
        for name, array in arrays.items()
    ]


def _check_repeated(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Bit for bit; raises InvalidBundle that names the row."""
    for name, array in first.items():
        other = second.get(name)
        if other is None or other.shape != array.shape or other.dtype != array.dtype:
            raise InvalidBundle(f"the reduction is not deterministic: {name!r} changes its form")
        rows = zip(array.reshape(len(array), -1), other.reshape(len(other), -1))
        for row, (one, two) in enumerate(rows):
            texts = one.dtype.kind == "O"
            if (one.tolist() != two.tolist()) if texts else (one.tobytes() != two.tobytes()):
                raise InvalidBundle(
                    f"the reduction is not deterministic: {name!r} differs between two runs in row {row}"
                )


def _first_line(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    return text.splitlines()[0][:300]
