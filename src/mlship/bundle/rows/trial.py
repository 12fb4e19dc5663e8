"""Tries a bundle that is not finished: unpacked as on a target, answering all examples on its own runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.document import GOLDEN_PATH, Content, write_documents
from mlship.bundle.packages.platforms import Wanted
from mlship.bundle.packages.runtime_layers import unpacked
from mlship.bundle.rows.examples import take
from mlship.bundle.rows.record import Recorded, record, runtime_python
from mlship.config import cache_dir
from mlship.digest import sha256

BOOT = "runtime/any/mlship_runtime/boot.py"


def try_bundle(
    content: Content,
    layers: Sequence[Layer],
    platform: Wanted,
    folder: Path,
    *,
    python: Sequence[str] = (),
    rows: Sequence[int] | None = None,
) -> Recorded:
    """What the bundle of `layers` (no golden one yet; the runtime's for `platform`) answers to the examples,
    or to those of `rows`. `python` is the command that runs it, one of this machine's unless given.

    Raises BuildError if it cannot be loaded, fails, or answers differently a second time.
    """
    python = python or [str(runtime_python(content.project, platform))]
    tensors = content.examples.tensors
    placeholder = write_layer(folder / "trial-golden.tar", "golden", [(GOLDEN_PATH, b"{}")])
    parts = [*layers, placeholder]
    documents = write_documents(content, parts)
    shared = cache_dir() / "unpacked"
    roots = {
        layer.digest: str(unpacked(layer, shared if layer.role == "runtime" else folder / "unpacked"))
        for layer in parts
    }
    files = {"manifest": documents.manifest, "spec": documents.spec}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    release = {
        "schemaVersion": 1,
        "number": 0,
        "digest": sha256(documents.manifest),
        **{name: str(folder / name) for name in files},
        "layers": roots,
        "platform": platform.name,
    }
    ground_floor = next(layer for layer in layers if layer.platform == "any")
    reduction = content.project.reduction
    return record(
        python,
        Path(roots[ground_floor.digest], BOOT),
        release,
        tensors if rows is None else take(tensors, rows),
        reduction.module if reduction else None,
    )
