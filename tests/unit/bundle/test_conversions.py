"""A conversion of before counts while everything that it used is the same, and nobody else wrote it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlship_runtime
from mlship.bundle.models import conversions
from mlship.bundle.models.conversions import Kept, keep, key_of, recall

PYTHON = Path(sys.executable)
Job = dict[str, Any]


@pytest.fixture
def job(tmp_path: Path, own_cache: Path) -> Job:
    """A job of the kind that `mlship.bundle.models.convert` gives its child, in a project of two files."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("model.joblib", "reduction.py", "medians.json"):
        (root / name).write_text(name)
    (root / "site-packages").mkdir()
    (root / "site-packages" / "used.txt").write_text("1.0")
    return {
        "root": str(root),
        "groundFloor": str(Path(mlship_runtime.__file__).parent),
        "result": str(tmp_path / "result.json"),
        "graph": str(tmp_path / "model.onnx"),
        "reducing": str(tmp_path / "reducing.onnx"),
        "precision": "FP32",
        "opset": 18,
        "model": {"file": str(root / "model.joblib")},
        "reduction": {"module": "reduction", "function": "f", "include": ["*.json"]},
        "inputs": [{"name": "x", "data": [1.0]}],
    }


def made(job: Job) -> Kept:
    root = Path(job["root"])
    package = root / "site-packages" / "used.txt"
    code = {str(package): [package.stat().st_size, package.stat().st_mtime_ns]}
    used = {"code": code, "files": [str(root / "reduction.py"), str(root / "medians.json")]}
    sources = {"reduction.py": b"reduction.py", "empty": b"", "medians.json": b"\n\0"}
    return Kept({"reference": [1.5, None], "used": used}, b"a graph\n", b"another\n", sources)


def kept(job: Job) -> str:
    key = key_of(job, PYTHON)
    keep(key, made(job), time.time_ns())
    return key


def test_what_was_kept_comes_back(job: Job) -> None:
    found = recall(kept(job))
    assert found is not None
    assert found.answer == {"reference": [1.5, None]}
    assert (found.graph, found.reducing) == (b"a graph\n", b"another\n")
    assert found.sources == made(job).sources


def test_a_scratch_folder_is_no_part_of_the_key(job: Job) -> None:
    assert key_of(job, PYTHON) == key_of({**job, "result": "/other", "graph": "/elsewhere"}, PYTHON)


def test_a_model_that_a_function_returns_is_not_kept(job: Job) -> None:
    assert key_of({**job, "model": {"module": "m", "function": "f"}}, PYTHON) == ""
    assert key_of({**job, "model": {"file": job["root"] + "/none"}}, PYTHON) == ""


def written(name: str) -> Callable[[Job, pytest.MonkeyPatch], Any]:
    return lambda job, _: Path(job["root"], name).write_text("another")


CHANGES: dict[str, Callable[[Job, pytest.MonkeyPatch], Any]] = {
    "the model": written("model.joblib"),
    "the reduction": written("reduction.py"),
    "a file that the step reads": written("medians.json"),
    "a new file that the step includes": written("more.json"),
    "a new module": written("helper.py"),
    "a module that is gone": lambda job, _: Path(job["root"], "reduction.py").unlink(),
    "a package": written("site-packages/used.txt"),
    "a package of the same size": lambda job, _: os.utime(job["root"] + "/site-packages/used.txt", ns=(0, 1)),
    "the precision": lambda job, _: job.update(precision="FP64"),
    "the examples": lambda job, _: job["inputs"][0].update(data=[2.0]),
    "the opset": lambda job, _: job.update(opset=17),
    "the search path": lambda _, patch: patch.setenv("PYTHONPATH", "/elsewhere"),
    "our own code": lambda _, patch: patch.setattr(conversions, "_own_code", lambda folder: "sha256:0"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_it_is_made_anew(job: Job, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    kept(job)
    CHANGES[change](job, monkeypatch)
    key = key_of(job, PYTHON)
    assert recall(key) is None


def test_another_interpreter_makes_it_anew(job: Job) -> None:
    kept(job)
    assert recall(key_of(job, Path("/usr/bin/python3"))) is None


def test_what_changed_while_it_was_made_is_not_kept(job: Job) -> None:
    key, began = key_of(job, PYTHON), time.time_ns()
    result = made(job)
    later = began + 10**9
    os.utime(Path(job["root"], "medians.json"), ns=(later, later))
    keep(key, result, began)
    assert recall(key) is None


def file_of(own_cache: Path) -> Path:
    (file,) = (own_cache / "conversions").iterdir()
    return file


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "one bit": lambda file: file.write_bytes(file.read_bytes()[:-1] + b"\1"),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "empty": lambda file: file.write_bytes(b""),
    "another content": lambda file: file.write_bytes(b"0" * 64 + b"\n{}\n"),
    "others may write": lambda file: file.chmod(0o622),
    "others may write to its folder": lambda file: file.parent.chmod(0o777),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_or_not_ours_is_not_used(job: Job, own_cache: Path, damage: str) -> None:
    key = kept(job)
    assert recall(key) is not None
    DAMAGE[damage](file_of(own_cache))
    assert recall(key) is None


def test_what_another_user_wrote_is_not_used(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    key = kept(job)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert recall(key) is None


def test_others_cannot_read_it(job: Job, own_cache: Path) -> None:
    kept(job)
    assert file_of(own_cache).stat().st_mode & 0o777 == 0o600
    assert (own_cache / "conversions").stat().st_mode & 0o777 == 0o700


def test_the_oldest_go(job: Job, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversions, "_MOST", 2)
    keys = []
    for opset in (15, 16, 17):
        keys.append(kept({**job, "opset": opset}))
        time.sleep(0.02)
    assert [recall(key) is not None for key in keys] == [False, True, True]
    assert len(list((own_cache / "conversions").iterdir())) == 2


def test_a_cache_that_cannot_be_written_keeps_nothing(job: Job, own_cache: Path) -> None:
    own_cache.write_text("a file")
    assert recall(kept(job)) is None
