"""Parts of a bundle for other tools: an ONNX file, an MLflow folder, a folder of wheels, an SBOM, a card."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlship.bundle.audit.card import SBOM_PATH
from mlship.bundle.document import CARD_PATH
from mlship.bundle.exchange.export import Written, new_file
from mlship.bundle.exchange.layout import chosen
from mlship.bundle.models.graph_reader import Value, read_graph
from mlship.bundle.open import OpenBundle
from mlship.bundle.packages.resolve import Wheel
from mlship.bundle.packages.wheels import fetch, wheel_path
from mlship.bundle.rows.wire import Unreadable
from mlship.digest import CHUNK
from mlship.errors import BundleError, RegistryError, UsageError
from mlship.progress import Progress
from mlship_runtime.bundle.fusion import CannotFuse, fuse
from mlship_runtime.bundle.ustar import ChunkStream
from mlship_runtime.errors import InvalidBundle

# TensorProto.DataType -> numpy's name of it.
_NUMPY = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "str",
          9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64"}  # fmt: skip


def export_onnx(bundle: OpenBundle, file: Path, words: Sequence[str], progress: Progress) -> Written:
    """Write the model as one ONNX file, with the reduction in it if that is a graph, too. Raises UsageError
    where the file would not answer as the bundle does."""
    _refuse_platforms(words)
    data, _ = _whole_graph(bundle)
    if len(names := _model_files(bundle)) != 1:
        raise UsageError(
            f"the model of {bundle.reference} is in {len(names)} files", fix="Use --format mlflow, a folder"
        )
    with new_file(file) as target:
        target.write(data)
        return Written(target.tell(), (), ())


def export_mlflow(bundle: OpenBundle, folder: Path, words: Sequence[str], progress: Progress) -> Written:
    """Write an MLflow model folder with the onnx flavor and a signature of tensors; no pickle.

    Format: MLflow Models, "Storage Format" (MLmodel; fields of the flavors onnx and python_function).
    Raises UsageError where its graph would not answer as the bundle does.
    """
    _refuse_platforms(words)
    data, columns = _whole_graph(bundle)
    with new_folder(folder) as made:
        for name in _model_files(bundle):
            target = made / name.removeprefix("model/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for chunk in [data] if name == bundle.spec.model["path"] else bundle.read(name):
                    file.write(chunk)
        for name, text in _mlflow_files(bundle, data, columns).items():
            (made / name).write_text(text, encoding="utf-8")
        return Written(_size(made), (), ())


def export_wheelhouse(bundle: OpenBundle, folder: Path, words: Sequence[str], progress: Progress) -> Written:
    """Write the locked wheels of one platform, with requirements.txt that pins their hashes.

    They come from the cache, or from the index by hash. Raises UsageError unless one platform is meant,
    BuildError if a wheel cannot be had.
    """
    platforms = chosen(bundle.manifest, words)
    if len(platforms) != 1:
        raise UsageError("a wheelhouse is for one platform", fix=f"Add --platform {platforms[0]}")
    part = bundle.spec.runtime["platforms"].get(platforms[0], {})
    wheels = [_wheel(found) for found in part.get("requirements", ())]
    fetch(wheels, {}, bundle.spec.runtime["python"], progress)
    with new_folder(folder) as made:
        for wheel in wheels:
            _copy(wheel, made / wheel.file)
        lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in sorted(wheels)]
        (made / "requirements.txt").write_text("".join(lines), encoding="utf-8")
        return Written(_size(made), platforms, ())


def export_sbom(bundle: OpenBundle, file: Path, words: Sequence[str], progress: Progress) -> Written:
    """Write the bill of materials (CycloneDX JSON). Raises UsageError if the bundle has none."""
    return _export_one(bundle, file, words, SBOM_PATH, "bill of materials")


def export_card(bundle: OpenBundle, file: Path, words: Sequence[str], progress: Progress) -> Written:
    """Write the model card (Markdown). Raises UsageError if the bundle has none."""
    return _export_one(bundle, file, words, CARD_PATH, "model card")


def _export_one(bundle: OpenBundle, file: Path, words: Sequence[str], path: str, what: str) -> Written:
    _refuse_platforms(words)
    if not any(entry.path == path for entries in bundle.spec.files.values() for entry in entries):
        fix = "Build it again" if path == SBOM_PATH else "Name a file and build again: [bundle] card"
        raise UsageError(f"{bundle.reference} has no {what}", fix=fix)
    with new_file(file) as target:
        for chunk in bundle.read(path):
            target.write(chunk)
        return Written(target.tell(), (), ())


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder that comes to be at `folder` when the block ends well; UsageError if something is there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already", fix="Name a new folder, or remove it")
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    try:
        part.mkdir()
        try:
            yield part
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise RegistryError(f"{folder} cannot be written", cause=error.strerror or str(error)) from error


def _refuse_platforms(words: Sequence[str]) -> None:
    if words:
        raise UsageError("this format is the same for every platform", fix="Leave --platform out")


def _whole_graph(bundle: OpenBundle) -> tuple[bytes, dict[str, list[str]]]:
    """The ONNX file that answers as the bundle does, and the columns that each of its inputs is made of.
    Raises UsageError if there is none."""
    spec, step = bundle.spec, bundle.spec.reduction
    fix = "Export the whole bundle: leave --format out"
    if spec.engine != "onnx":
        cause = f"it is a {spec.form} file, served in Python"
        raise UsageError(f"the model of {bundle.reference} is no ONNX graph", cause=cause, fix=fix)
    model = b"".join(bundle.read(spec.model["path"]))
    if step is None:
        return model, {name: list(columns) for name, columns in spec.assemble.items()}
    if step["kind"] != "onnx":
        raise UsageError(
            f"{bundle.reference} reduces its inputs in Python ({step['module']}:{step['function']})",
            cause="its ONNX model alone would not answer the same",
            fix=fix,
        )
    what = f"reduction and model of {bundle.reference} are two graphs that do not go into one"
    if not step["fused"]:
        raise UsageError(what, cause=step.get("apart", ""), fix=fix)
    try:
        fused = fuse(b"".join(bundle.read(step["path"])), model, spec.assemble, spec.reduced)
    except CannotFuse as reason:
        raise BundleError(what, cause=f"{reason}, but its spec says that they do") from reason
    except InvalidBundle as fault:
        raise BundleError(fault.what, cause=fault.cause) from fault
    return fused.data, {fused.inputs[name]: list(columns) for name, columns in step["assemble"].items()}


def _model_files(bundle: OpenBundle) -> list[str]:
    return [
        entry.path
        for layer in bundle.manifest.layers
        if layer.role == "model"
        for entry in bundle.spec.files[layer.digest]
    ]


def _mlflow_files(bundle: OpenBundle, graph: bytes, columns: dict[str, list[str]]) -> dict[str, str]:
    """MLmodel and the environment files; YAML in its JSON-like form, without times and random numbers."""
    spec = bundle.spec
    data, python = spec.model["path"].removeprefix("model/"), spec.runtime["python"]
    versions = {
        found["name"]: found["version"]
        for part in spec.runtime["platforms"].values()
        for found in part["requirements"]
    }
    made = spec.model["converter"].get("onnx")
    onnx = {"code": None, "data": data, "onnx_session_options": None, "providers": ["CPUExecutionProvider"]}
    document = {
        "flavors": {
            "onnx": {**onnx, **({"onnx_version": made} if made else {})},
            "python_function": {
                "data": data,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.onnx",
                "python_version": python,
            },
        },
        "metadata": {
            "mlship": {
                "reference": str(bundle.reference),
                "digest": bundle.digest,
                "columns": columns,
            }
        },
        "signature": _signature(bundle, graph),
    }
    pins = [f"{name}=={versions[name]}" for name in ("numpy", "onnxruntime") if name in versions]
    requirements = [f"onnx=={made}" if made else "onnx", *pins]
    environment = {
        "python": python,
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": requirements}],
    }
    return {
        "MLmodel": _yaml(document),
        "requirements.txt": "".join(f"{line}\n" for line in requirements),
        "python_env.yaml": _yaml(environment),
        "conda.yaml": _yaml(conda),
    }


def _signature(bundle: OpenBundle, data: bytes) -> dict[str, str]:
    try:
        graph = read_graph(ChunkStream([data]), len(data))
        return {
            "inputs": _tensors(value for value in graph.inputs if value.name not in graph.weights),
            "outputs": _tensors(graph.outputs),
        }
    except Unreadable as error:
        raise BundleError(
            f"the inputs of {bundle.reference}'s graph cannot be told", cause=str(error)
        ) from error


def _tensors(values: Iterator[Value] | Sequence[Value]) -> str:
    described = []
    for value in values:
        if value.datatype not in _NUMPY:
            raise Unreadable(f"{value.name[:80]!r} is no tensor of numbers or text")
        tensor = {"dtype": _NUMPY[value.datatype], "shape": list(value.shape)}
        described.append({"type": "tensor", "name": value.name, "tensor-spec": tensor})
    return json.dumps(described)


def _yaml(value: object) -> str:
    """JSON is YAML; indented, it reads well enough."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _wheel(found: dict[str, str]) -> Wheel:
    wheel = Wheel(found["name"], found["version"], found["file"], found["sha256"])
    plain = wheel.file.replace("-", "").replace("_", "").replace(".", "").replace("+", "").replace("!", "")
    if not wheel.file.endswith(".whl") or wheel.file.startswith(".") or not plain.isalnum():
        raise BundleError(
            f"the bundle names a wheel {wheel.file[:80]!a}", cause="that is no wheel's file name"
        )
    return wheel


def _copy(wheel: Wheel, target: Path) -> None:
    hasher = hashlib.sha256()
    with wheel_path(wheel).open("rb") as source, target.open("xb") as file:
        while chunk := source.read(CHUNK):
            hasher.update(chunk)
            file.write(chunk)
    if hasher.hexdigest() != wheel.sha256:
        fix = f"Remove {wheel_path(wheel)}, then export again"
        raise BundleError(f"{wheel.file} in the cache is damaged", fix=fix)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
