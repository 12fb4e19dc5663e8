"""What a build knows of a bundle when it writes the documents, without a build."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.document import Content
from mlship.bundle.lock import LockedParity, LockedRuntime, LockedWheel
from mlship.bundle.models.convert import Converted
from mlship.bundle.rows.examples import Examples
from mlship.config import cache_dir, parse_project
from mlship_runtime.bundle.spec import TensorSpec

LINUX, ARM = "linux-amd64-cp311-gnu2.28", "linux-arm64-cp311-gnu2.28"
TOML = """
[project]
name = "churn"
version = "1.4"
[bundle]
labels = { team = "growth" }
[model]
source = "model.joblib"
[reduction]
step = "reduction:reduce"
"""


def make_content(root: Path, toml: str = TOML) -> Content:
    """A bundle of two platforms that share a wheel; the wheels are in the cache."""
    shared = cached("orjson", "3.13.0", "py3-none-any", "License-Expression: MPL-2.0 AND (Apache-2.0 OR MIT)")
    own = [
        cached("numpy", "2.4.6+x", f"cp311-cp311-{tag}", "Classifier: License :: OSI Approved :: BSD License")
        for tag in ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64")
    ]
    columns = (TensorSpec("age", "FP64", (-1,), True), TensorSpec("plan", "BYTES", (-1,), False))
    return Content(
        project=parse_project(toml, root=root),
        examples=Examples(schema=columns, tensors=(), rows=2),
        converted=converted(),
        runtime=LockedRuntime(
            mlship="0.1.0",
            ground_floor="sha256:" + "7" * 64,
            python="3.11",
            requirements=("numpy", "orjson"),
            trim=1,
            platforms={ARM: (own[1], shared), LINUX: (own[0], shared)},
        ),
        outputs=[{"name": "score", "datatype": "FP32", "shape": [2, 1], "data": [0.5, 0.25]}],
        golden_rows=2,
        parity=LockedParity(rows=40, max_abs=1.5e-7, max_rel=2e-6),
    )


def converted() -> Converted:
    return Converted(
        graph=b"graph", shards=(), assemble={"X": ["age"]}, outputs=("score",), classes={}, reference=[],
        margins=None, reduced=[], reduced_schema=(TensorSpec("X", "FP32", (-1, 2), False),), reduction={},
        reducing=None,
        framework="sklearn", precision="FP32", converter={"skl2onnx": "1.20.0"}, opset=18, python="3.11",
        of_before=False,
    )  # fmt: skip


def cached(name: str, version: str, tags: str, *metadata: str) -> LockedWheel:
    """A wheel in the cache, with these lines in its METADATA."""
    folder = cache_dir() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    file = f"{name}-{version}-{tags}.whl"
    part = folder / file
    lines = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", *metadata, "", "Name: not a header", ""])
    with zipfile.ZipFile(part, "w") as archive:
        entry = zipfile.ZipInfo(f"{name}-{version}.dist-info/METADATA")
        archive.writestr(entry, lines)
        archive.writestr(zipfile.ZipInfo(f"{name}/{tags}.py"), b"")
    sha256 = hashlib.sha256(part.read_bytes()).hexdigest()
    part.replace(folder / sha256)
    return LockedWheel(name=name, version=version, file=file, sha256=sha256)


def content_layers(folder: Path) -> list[Layer]:
    """The layers that are there when the card is written, but for the packages'."""
    return [
        write_layer(folder / "model.tar", "model", [("model/model.onnx", b"graph")]),
        write_layer(folder / "shard.tar", "model", [("model/weights/a.bin", b"weights")]),
        write_layer(folder / "reduction.tar", "reduction", [("reduction/reduction.py", b"code")]),
        write_layer(folder / "golden.tar", "golden", [("golden/golden.json", b"{}")]),
    ]
