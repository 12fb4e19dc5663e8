"""The project's side of a build: its reduction step and model, run and converted in its own interpreter.

What runs there lies in `children/`; this module starts it, gives it a job and reads what it wrote.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlship_runtime
from mlship.bundle import children
from mlship.bundle.models import conversions
from mlship.bundle.models.conversions import Kept
from mlship.bundle.models.mlflow import logged_code, model_file
from mlship.bundle.models.reducing import FILE, Reduced, Reducing, why_apart
from mlship.bundle.models.shards import SHARD_BYTES, Shard, split
from mlship.bundle.models.unconverted import Found, Unconverted, not_allowed
from mlship.bundle.packages.python import version_of
from mlship.bundle.rows.examples import Examples, Tensor
from mlship.config import Project, interpreter
from mlship.errors import BuildError
from mlship_runtime.bundle.spec import TensorSpec

OPSET = 18  # read by every onnxruntime since 1.15
_TRACE_NAME = "build-error.log"


@dataclass(frozen=True)
class Converted:
    """What the project's interpreter gave. `reference` holds the original model's answers to all examples
    (none for a model that was ONNX already); `margins` how far each decision is from its alternative, where
    only the original can tell; `classes` the names of an output's columns; `reduction` maps a path in the
    layer to the content of the file, and `reducing` tells of it if it is a graph. A large model has its
    weights in `shards`, which name files of the build's folder or of the project. A model that stays as it is
    has no graph: it is in `unconverted`. `of_before` says that all this is of an earlier run."""

    graph: bytes
    shards: tuple[Shard, ...]
    assemble: Mapping[str, list[str]]
    outputs: tuple[str, ...]
    classes: Mapping[str, list[str]]
    reference: list[Tensor]
    margins: list[float] | None
    reduced: list[Tensor]
    reduced_schema: tuple[TensorSpec, ...]
    reduction: Mapping[str, bytes]
    reducing: Reducing | None
    framework: str
    precision: str
    converter: Mapping[str, str]
    opset: int
    python: str
    of_before: bool
    unconverted: Unconverted | None = None

    @property
    def size(self) -> int:
        """Bytes of the graph and all weights, or of the model's own file."""
        if self.unconverted:
            return len(self.unconverted.found.data)
        weights = (stretch.length for shard in self.shards for stretch in shard.stretches)
        return len(self.graph) + sum(weights)


def convert(
    project: Project,
    examples: Examples,
    precision: str,
    folder: Path,
    shard_bytes: int = SHARD_BYTES,
    reduced: Reduced | None = None,
    *,
    anew: bool = False,
) -> Converted:
    """Run the project's code on the examples and convert its model to one that reads numbers in `precision`
    (FP32 or FP64), or repeat what an earlier run gave if nothing has changed since, unless `anew`. What is
    too large for memory stays in `folder`; weights beyond `shard_bytes` are sharded. `reduced` is what the
    model reads where an ONNX graph makes it. Raises BuildError.

    Project code runs here and nowhere else on this side; no pickle is read by mlship's own process.
    """
    with tempfile.TemporaryDirectory(prefix="mlship-build-") as scratch:
        job = {**_job(project, precision, Path(scratch), folder), **_rows(examples, reduced)}
        python = interpreter(project)
        key, began = conversions.key_of(job, python), time.time_ns()
        kept = None if anew else conversions.recall(key)
        if kept:
            Path(job["graph"]).write_bytes(kept.graph)
        answer = kept.answer if kept else _asked(project, python, job, Path(scratch))
        beside = Path(job["model"]["file"]) if answer.get("outside") else None
        graph, shards = split(Path(job["graph"]), beside, shard_bytes)
        made = kept or _made(answer, graph, job)
        if not (kept or shards or beside):
            conversions.keep(key, made, began)
        found = _read(made, graph, shards, precision, of_before=kept is not None)
        reducing = reduced.reducing if reduced else None
        if said := answer.get("reduction"):
            steps = tuple(said["steps"])
            reducing = Reducing(made.reducing, said["assemble"], found.opset, found.converter, steps)
        return _with_graph(project, found, reducing) if reducing else found


def leave(project: Project, examples: Examples, found: Found, folder: Path) -> Converted:
    """Ask the model about the examples in the project's interpreter, and take it as it is; only what `found`
    names is imported for it. Raises BuildError."""
    with tempfile.TemporaryDirectory(prefix="mlship-build-") as scratch:
        job = {**_job(project, "FP64", Path(scratch), folder), **_rows(examples, None)}
        job["model"]["serialization"] = found.serialization
        job["globals"], job["allowed"] = list(found.names), list(project.model.allow_globals)
        answer = _asked(project, interpreter(project), job, Path(scratch))
    if answer["untrusted"]:
        name = Path(job["model"]["file"]).name
        raise not_allowed(project, name, answer["untrusted"], allow_pickle=True)
    unconverted = Unconverted(
        found=found,
        reads=answer["reads"],
        inputs=tuple(answer["inputs"]),
        answers=tuple(answer["outputs"]),
        code={place: Path(path).read_bytes() for place, path in answer["code"].items()},
        packages=tuple(answer["packages"]),
    )
    made = _made(answer, b"", job)
    return replace(_read(made, b"", (), "FP64", of_before=False), unconverted=unconverted)


def child_environment() -> dict[str, str]:
    """This process's environment with a fixed hash seed and without Python's other settings.

    PYTHONPATH stays: it may be how the project finds its modules.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") or k == "PYTHONPATH"}
    return {**kept, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def _with_graph(project: Project, found: Converted, reducing: Reducing) -> Converted:
    apart = why_apart(project, reducing, found.graph, found.assemble, found.reduced_schema)
    reducing = replace(reducing, apart=apart)
    return replace(found, reducing=reducing, reduction={FILE: reducing.graph})


def _rows(examples: Examples, reduced: Reduced | None) -> dict[str, Any]:
    """What the model reads, or what the project's reduction does."""
    schema = reduced.schema if reduced else examples.schema
    return {
        "reduced": reduced is not None,
        "beside": reduced.opsets if reduced else {},
        "schema": [[t.name, t.datatype, list(t.shape), t.nullable] for t in schema],
        "inputs": reduced.tensors if reduced else list(examples.tensors),
    }


def _job(project: Project, precision: str, scratch: Path, folder: Path) -> dict[str, Any]:
    model: dict[str, str] = {}
    if project.model.callable:
        model["module"], model["function"] = project.model.callable
    else:
        model["file"] = str(model_file(project))
    step = project.reduction
    return {
        "work": "convert",
        "root": str(project.root),
        "code": [str(code)] if (code := logged_code(project)) else [],
        "groundFloor": str(Path(mlship_runtime.__file__).parent),
        "result": str(scratch / "result.json"),
        "graph": str(folder / "model.onnx"),
        "opset": OPSET,
        "precision": precision,
        "model": model,
        "reduction": step
        and step.module
        and {"module": step.module, "function": step.function, "include": list(step.include)},
        "split": step and step.split,
        "reducing": str(folder / FILE),
    }


def _asked(project: Project, python: Path, job: dict[str, Any], scratch: Path) -> dict[str, Any]:
    job_file = scratch / "job.json"
    job_file.write_text(json.dumps(job), encoding="utf-8")
    answer = _run(project, python, job_file, Path(job["result"]))
    if not answer["ok"]:
        raise _refusal(project, answer)
    return answer


def _made(answer: dict[str, Any], graph: bytes, job: dict[str, Any]) -> Kept:
    sources = {place: Path(path).read_bytes() for place, path in answer["sources"].items()}
    reducing = Path(job["reducing"]).read_bytes() if answer.get("reduction") else b""
    return Kept(answer, graph, reducing, sources)


def _run(project: Project, python: Path, job_file: Path, result: Path) -> dict[str, Any]:
    start = Path(children.__file__).with_name("start.py")
    try:
        done = subprocess.run(
            [str(python), "-B", str(start), str(job_file)],
            cwd=project.root,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise BuildError(
            f"cannot run the project's Python {python}", cause=error.strerror or str(error)
        ) from error
    if not result.is_file():
        raise _ended(project, python, done.returncode, done.stderr.decode(errors="replace").strip())
    answer: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return answer


def _ended(project: Project, python: Path, code: int, said: str) -> BuildError:
    """Of a child that left no result: code ended its process beside all exceptions. Raises BuildError if the
    child is no Python at all."""
    version_of(python)
    ending = f"signal {-code}" if code < 0 else f"code {code}"
    what = f"the project's code ended its own process with {ending}"
    if not said:
        crash = "a package of the project crashed, or the system stopped it for want of memory"
        return BuildError(what, cause=crash if code < 0 else "it, or a package of it, called os._exit")
    _keep_trace(project, said)
    return BuildError(what, cause=said.splitlines()[-1], fix=f"All it said is in .mlship/{_TRACE_NAME}")


def _refusal(project: Project, answer: dict[str, Any]) -> BuildError:
    error = answer["error"]
    _keep_trace(project, answer.get("trace", ""))
    refusal = BuildError(error["what"], cause=error["cause"], fix=error["fix"])
    if trace := answer.get("trace"):
        refusal.add_note(trace)  # shown by --debug
    return refusal


def _keep_trace(project: Project, text: str) -> None:
    """What was said in full goes into the project's state folder; where that cannot be written, the one line
    that the user sees has to do."""
    with suppress(OSError):
        project.state.mkdir(exist_ok=True)
        (project.state / _TRACE_NAME).write_text(text + "\n", encoding="utf-8")


def _read(
    made: Kept, graph: bytes, shards: tuple[Shard, ...], precision: str, *, of_before: bool
) -> Converted:
    answer = made.answer
    schema = tuple(
        TensorSpec(n, kind, tuple(shape), null) for n, kind, shape, null in answer["reducedSchema"]
    )
    if answer["implementation"] != "cpython":
        raise BuildError(
            f"the project's Python is {answer['implementation']}", cause="runtimes are made for CPython"
        )
    return Converted(
        graph=graph,
        shards=shards,
        assemble=answer["assemble"],
        outputs=tuple(answer["outputs"]),
        classes=answer.get("classes", {}),
        reference=answer["reference"],
        margins=answer["margins"],
        reduced=answer["reduced"],
        reduced_schema=schema,
        reduction=made.sources,
        reducing=None,
        framework=answer["framework"],
        precision=precision,
        converter=answer["converter"],
        opset=answer["opset"],
        python=answer["python"],
        of_before=of_before,
    )
