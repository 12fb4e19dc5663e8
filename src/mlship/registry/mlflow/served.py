"""What lies beside a bundle's blobs so that MLflow can serve it: MLmodel, its environment, and a loader.

It follows from the bundle alone. The loader starts the bundle's own runtime; MLflow's process loads no model,
and nothing here is a pickle. Source: MLflow, "MLmodel" and mlflow.pyfunc ("loader_module", "code").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlship.bundle.exchange.layout import INDEX_PATH, LAYOUT, LAYOUT_PATH, Index, blob_path, write_index
from mlship.digest import sha256
from mlship.host import ground_floor
from mlship_runtime.bundle.spec import Spec, TensorSpec

MLMODEL = "MLmodel"
LOADER = "mlship_bundle"
FLOOR = "mlship_runtime.zip"
_MLFLOW = "mlflow>=3"
_TYPES = {
    "BOOL": ("boolean", "bool"),
    "INT8": ("integer", "int8"),
    "INT16": ("integer", "int16"),
    "INT32": ("integer", "int32"),
    "INT64": ("long", "int64"),
    "UINT8": ("integer", "uint8"),
    "UINT16": ("integer", "uint16"),
    "UINT32": ("long", "uint32"),
    "UINT64": ("long", "uint64"),
    "FP16": ("float", "float16"),
    "FP32": ("float", "float32"),
    "FP64": ("double", "float64"),
    "BYTES": ("string", "str"),
}


def files(manifest: bytes, spec: Spec) -> Iterator[tuple[str, bytes]]:
    """Path and content of all that is not a blob of the manifest; MLmodel is the last."""
    digest = sha256(manifest)
    yield blob_path(digest), manifest
    yield LAYOUT_PATH, LAYOUT
    yield INDEX_PATH, write_index(Index(digest, len(manifest), spec.version, None))
    yield f"code/{LOADER}.py", Path(__file__).with_name("loader.py").read_bytes()
    yield f"code/{FLOOR}", ground_floor.packed()
    python = str(spec.runtime["python"])
    yield "requirements.txt", f"{_MLFLOW}\n".encode()
    yield "python_env.yaml", _python_env(python)
    yield "conda.yaml", _conda(python)
    yield MLMODEL, mlmodel(digest, spec).encode()


def mlmodel(digest: str, spec: Spec) -> str:
    """MLmodel of a bundle: how it is loaded, and its signature, as MLflow calls the schema."""
    inputs, outputs = json.dumps(signature(spec.inputs)), json.dumps(signature(spec.outputs))
    lines = [
        "flavors:",
        "  python_function:",
        "    code: code",
        "    env:",
        "      conda: conda.yaml",
        "      virtualenv: python_env.yaml",
        f"    loader_module: {LOADER}",
        f"    python_version: {json.dumps(spec.runtime['python'])}",
        "metadata:",
        f"  mlship.digest: {json.dumps(digest)}",
        f"  mlship.name: {json.dumps(spec.name)}",
        f"  mlship.version: {json.dumps(spec.version)}",
        'mlflow_version: "3.0.0"',
        "signature:",
        f"  inputs: {json.dumps(inputs)}",
        f"  outputs: {json.dumps(outputs)}",
        "  params: null",
    ]
    return "\n".join(lines) + "\n"


def signature(tensors: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    """One side of MLflow's signature: columns, or arrays if there are nothing else."""
    if all(len(tensor.shape) > 1 for tensor in tensors):
        return [
            {
                "name": tensor.name,
                "type": "tensor",
                "tensor-spec": {"dtype": _TYPES[tensor.datatype][1], "shape": [-1, *tensor.shape[1:]]},
            }
            for tensor in tensors
        ]
    return [_column(tensor) for tensor in tensors]


def _column(tensor: TensorSpec) -> dict[str, Any]:
    kind = _TYPES[tensor.datatype][0]
    if tensor.nullable and kind in ("integer", "long"):
        kind = "double"  # where a whole number may be missing, MLflow has none
    form: dict[str, Any] = {"type": kind}
    for _ in tensor.shape[1:]:
        form = {"type": "array", "items": form}
    return {**form, "name": tensor.name, "required": not tensor.nullable}


def tags(spec: Spec) -> dict[str, str]:
    """What a version says of its bundle beside name and digest."""
    parity: Mapping[str, Any] = spec.parity
    return {
        "mlship.version": spec.version,
        "mlship.golden.rows": str(spec.golden["rows"]),
        "mlship.parity.rows": str(parity.get("rows", 0)),
        "mlship.parity.max_abs": f"{parity.get('maxAbs', 0.0):.3g}",
        "mlship.parity.max_rel": f"{parity.get('maxRel', 0.0):.3g}",
        "mlship.parity.decisions_equal": json.dumps(bool(parity.get("decisionsEqual"))),
    }


def _python_env(python: str) -> bytes:
    rest = "build_dependencies: []\ndependencies:\n- -r requirements.txt\n"
    return f"python: {json.dumps(python)}\n{rest}".encode()


def _conda(python: str) -> bytes:
    packages = f"- python={python}\n- pip\n- pip:\n  - {_MLFLOW}\n"
    return f"channels:\n- conda-forge\ndependencies:\n{packages}name: mlship\n".encode()
