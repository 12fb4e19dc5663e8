"""mlship.lock: one text for one content, readable by people and by the next mlship."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from mlship.bundle.lock import (
    Lock,
    LockedGolden,
    LockedModel,
    LockedParity,
    LockedRuntime,
    LockedWheel,
    lock_text,
    read_lock,
    write_atomically,
)
from mlship.config import parse_project
from mlship.errors import BuildError

PROJECT = '[project]\nname = "p"\n[model]\nsource = "m"\n'
WHEEL = LockedWheel(name="numpy", version="2.4.6", file="numpy-2.4.6-cp311.whl", sha256="ab" * 32)
LOCK = Lock(
    runtime=LockedRuntime(
        mlship="0.1.0",
        ground_floor="sha256:" + "0" * 64,
        python="3.11",
        requirements=("numpy",),
        trim=1,
        platforms={"linux-amd64-cp311-gnu2.28": (WHEEL,)},
    ),
    model=LockedModel(
        graph="sha256:" + "1" * 64, precision="FP32", opset=18, converter={"skl2onnx": "1.20.0"}
    ),
    parity=LockedParity(rows=10, max_abs=1e-7, max_rel=1e-6),
    golden=LockedGolden(
        inputs={"examples": "sha256:x"},
        rows=(1, 5),
        outputs=({"name": "label", "datatype": "BYTES", "shape": [2], "data": ["a,b", "\u2028é"]},),
    ),
)


@pytest.fixture
def project(tmp_path: Path):
    return parse_project(PROJECT, root=tmp_path)


def test_what_is_written_is_read(project) -> None:
    assert read_lock(project) is None
    write_atomically(project.lock_file, lock_text(LOCK))
    assert read_lock(project) == LOCK
    assert [path.name for path in project.root.iterdir()] == ["mlship.lock"]


def test_the_text_is_made_for_diffs() -> None:
    text = lock_text(LOCK).decode()
    assert msgspec.json.decode(text, type=Lock) == LOCK
    assert text.endswith("}\n")
    assert '    "rows": [1, 5]\n' in text
    line = next(line for line in text.splitlines() if "numpy-2.4.6" in line)
    assert line.strip().startswith('{"file": "numpy-2.4.6-cp311.whl", "name": "numpy", "sha256"')
    keys = list(json.loads(text))
    assert keys == sorted(keys)


def test_differences_are_named(project) -> None:
    changed = msgspec.structs.replace(
        LOCK, parity=None, runtime=msgspec.structs.replace(LOCK.runtime, trim=0)
    )
    assert LOCK.differs(LOCK) == []
    assert LOCK.differs(changed) == ["runtime.trim", "parity.maxAbs", "parity.maxRel", "parity.rows"]


def test_the_runtime_digest_sees_a_changed_wheel() -> None:
    other = msgspec.structs.replace(WHEEL, sha256="cd" * 32)
    runtime = msgspec.structs.replace(LOCK.runtime, platforms={"linux-amd64-cp311-gnu2.28": (other,)})
    assert runtime.digest != LOCK.runtime.digest


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "mlship.lock is damaged"),
        (b"[]", "mlship.lock is damaged"),
        (b'{"schemaVersion": 1}', "mlship.lock is damaged"),
        (lock_text(LOCK).replace(b'"trim"', b'"trimm"'), "unknown field `trimm`"),
        (b'{"schemaVersion": 2}', "made by a newer mlship. Upgrade mlship"),
    ],
)
def test_a_lock_that_cannot_be_read_says_what_to_do(project, data: bytes, said: str) -> None:
    project.lock_file.write_bytes(data)
    with pytest.raises(BuildError) as caught:
        read_lock(project)
    assert said in str(caught.value)


def test_a_failed_write_leaves_the_old_file(project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.lock_file.write_bytes(b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BuildError, match="No space left"):
        write_atomically(project.lock_file, b"new")
    assert project.lock_file.read_bytes() == b"old"
    assert [path.name for path in project.root.iterdir()] == ["mlship.lock"]
