"""The same project and lock give the same digest: elsewhere, later, and on another processor."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import joblib
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier

from mlship.bundle.audit.card import SBOM_PATH
from mlship.bundle.build import build_bundle, lock_only
from mlship.bundle.models import convert
from mlship.bundle.open import open_bundle, verify_bundle
from mlship.bundle.packages import runtime_layers
from mlship.config import load_project
from mlship.errors import BuildError
from mlship.reference import parse_reference
from mlship.registry import open_registry

pytestmark = [pytest.mark.e2e, pytest.mark.builds]
TOML = """
[model]
source = "model.joblib"
[reduction]
step = "step:reduce"
include = ["limits.json"]
[golden]
from = "rows.csv"
"""
STEP = """
import json
from pathlib import Path
import numpy as np
from scale import LOG

LIMITS = json.loads(Path(__file__).with_name("limits.json").read_text())

def reduce(columns):
    area = np.clip(columns["area"], *LIMITS)
    return {"X": np.stack([LOG(area), columns["smooth"] * 100, columns["points"] * 10], axis=1)}
"""


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has been built once: reduction with a second module and a file, gradient boosting."""
    root = tmp_path_factory.mktemp("ready")
    (root / "mlship.toml").write_text('[project]\nname = "cells"\nversion = "1.0"\n' + TOML)
    (root / "step.py").write_text(STEP)
    (root / "scale.py").write_text("import numpy\n\nLOG = numpy.log1p\n")
    (root / "limits.json").write_text("[0, 5000]")
    data = load_breast_cancer()
    rows = data.data[:, [3, 4, 7]]
    (root / "rows.csv").write_text(
        "area,smooth,points\n" + "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())
    )
    train(root, 30)
    build(root)
    return root


def train(root: Path, trees: int) -> None:
    import numpy as np

    data = load_breast_cancer()
    rows = data.data[:, [3, 4, 7]]
    reduced = np.stack([np.log1p(np.clip(rows[:, 0], 0, 5000)), rows[:, 1] * 100, rows[:, 2] * 10], axis=1)
    model = GradientBoostingClassifier(n_estimators=trees, random_state=0).fit(reduced, data.target)
    joblib.dump(model, root / "model.joblib")


def store(root: Path):
    return open_registry(f"dir://{root}/.mlship/store")


def build(root: Path, **options: bool):
    return build_bundle(load_project(root), store(root), **options)


@pytest.fixture
def copy(ready: Path, tmp_path: Path) -> Path:
    """The project as another person has it: cloned with its lock, never built."""
    root = tmp_path / "a clone"
    shutil.copytree(ready, root, ignore=shutil.ignore_patterns(".mlship", "__pycache__"))
    return root


@pytest.fixture
def digest(ready: Path) -> str:
    return json.loads((ready / ".mlship" / "built.json").read_text())["digest"]


def test_another_folder_umask_seed_zone_and_processor(
    copy: Path, digest: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an empty cache too: layers are made again from wheels that are fetched again."""
    for name, value in {
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
        "PYTHONHASHSEED": "4711",
        "TZ": "Pacific/Chatham",
        "LC_ALL": "C",
    }.items():
        monkeypatch.setenv(name, value)
    before = os.umask(0o077)
    try:
        built = build(copy, locked=True)
    finally:
        os.umask(before)
    assert built.digest == digest
    assert built.changed == ()


def test_a_second_build_makes_no_runtime_layer_again_and_asks_no_index(
    ready: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*args: object, **options: object) -> None:
        raise AssertionError("the index was asked")

    monkeypatch.setattr("mlship.bundle.packages.resolve._compile", asked)
    monkeypatch.setattr("urllib.request.urlopen", asked)
    layers = Path(os.environ["MLSHIP_CACHE"], "layers")
    before = {path.name: path.stat().st_mtime_ns for path in layers.iterdir()}
    built = build(ready)
    after = {path.name: path.stat().st_mtime_ns for path in layers.iterdir()}
    assert after == before
    assert (built.digest, built.sent) == (digest, 0)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is made from now on: `conversion` for each run of project code, runtime layers by their titles."""
    made: list[str] = []
    run, write = convert._run, runtime_layers.write_layer

    def running(*args: object) -> object:
        made.append("conversion")
        return run(*args)

    def writing(out: Path, role: str, files: object, **said: str) -> object:
        made.append(said["title"])
        return write(out, role, files, **said)

    monkeypatch.setattr(convert, "_run", running)
    monkeypatch.setattr(runtime_layers, "write_layer", writing)
    return made


def test_what_has_not_changed_is_not_converted_again(
    copy: Path, digest: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the cache knows what was converted, so a clone converts once; then a change of the model
    makes one conversion, and never a runtime layer."""
    made = counted(monkeypatch)
    assert build(copy, locked=True).digest == digest
    assert made[:1] == ["runtime-any.tar"]
    assert made.count("conversion") == 1
    made.clear()
    assert build(copy, locked=True).digest == digest
    assert made == []
    train(copy, 31)
    assert build(copy).digest != digest
    assert made == ["conversion"]
    (copy / "scale.py").write_text("import numpy\n\nLOG = numpy.log1p  # as before\n")
    build(copy)
    assert made == ["conversion"] * 2
    lock_only(load_project(copy), upgrade=True)
    assert made == ["conversion"] * 3


def test_what_is_in_the_bundle(ready: Path, digest: str) -> None:
    bundle = open_bundle(store(ready), parse_reference(f"cells@{digest}"))
    verify_bundle(bundle)
    assert bundle.manifest.name == "cells"
    reduction = next(layer for layer in bundle.manifest.layers if layer.role == "reduction")
    paths = [entry.path for entry in bundle.spec.files[reduction.digest]]
    assert paths == ["reduction/limits.json", "reduction/scale.py", "reduction/step.py"]
    everything = {entry.path for entries in bundle.spec.files.values() for entry in entries}
    assert not [path for path in everything if path.endswith((".joblib", ".pkl", ".pyc", ".pth"))]
    for blob in bundle.manifest.blobs:
        content = b"".join(bundle.blob(blob.digest))
        assert str(ready).encode() not in content, f"{blob.title} knows where it was built"
    assert store(ready).tags("cells") == {"1.0": digest}


def test_the_card_names_the_locked_wheels_and_cyclonedx_takes_it(ready: Path, digest: str) -> None:
    bundle = open_bundle(store(ready), parse_reference(f"cells@{digest}"))
    data = b"".join(bundle.read(SBOM_PATH))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    components = json.loads(data)["components"]
    hashes = {part["hashes"][0]["content"] for part in components if "purl" in part and "hashes" in part}
    platforms = bundle.spec.runtime["platforms"].values()
    assert hashes == {wheel["sha256"] for part in platforms for wheel in part["requirements"]}
    assert all(part["licenses"] for part in components if part["name"] in ("numpy", "onnxruntime"))
    (model,) = [part for part in components if part["type"] == "machine-learning-model"]
    assert model["hashes"][0]["content"] == bundle.entry(bundle.spec.model["path"]).sha256


def test_the_lock_knows_no_place_and_no_day(ready: Path) -> None:
    text = (ready / "mlship.lock").read_text()
    assert "://" not in text
    assert str(ready) not in text
    assert "sha256" in text


def test_last_digits_of_this_processor_are_not_packed(copy: Path, digest: str) -> None:
    """The lock's numbers are, as long as they agree within the tolerance."""
    lock = json.loads((copy / "mlship.lock").read_text())
    numbers = lock["golden"]["outputs"][1]["data"]
    numbers[0] += 3e-7
    (copy / "mlship.lock").write_text(json.dumps(lock))
    moved = build(copy, locked=True)
    assert moved.digest != digest
    numbers[0] += 0.25
    (copy / "mlship.lock").write_text(json.dumps(lock))
    with pytest.raises(BuildError, match=r"answers 1 golden values otherwise than mlship\.lock"):
        build(copy)


def test_locked_refuses_a_new_model_and_says_what_would_change(copy: Path, digest: str) -> None:
    text = (copy / "mlship.lock").read_bytes()
    train(copy, 31)
    with pytest.raises(BuildError, match=r"does not fit the project.*model\.graph") as caught:
        build(copy, locked=True)
    assert caught.value.exit_code == 4
    assert (copy / "mlship.lock").read_bytes() == text
    assert not (copy / ".mlship" / "built.json").exists()
    built = build(copy)
    assert "model.graph" in built.changed
    assert built.digest != digest
    assert build(copy, locked=True).digest == built.digest


def test_the_labels_of_the_same_rows_do_not_go_unseen(copy: Path) -> None:
    """They are in the bundle and in the lock; taking them away is a change of the lock."""
    plain = (copy / "mlship.toml").read_text()
    (copy / "mlship.toml").write_text(plain + 'labels = { sensitivity = "personal" }\n')
    built = build(copy)
    assert (built.changed, built.manifest.is_labelled) == (("golden.labels",), True)
    assert built.spec.golden["labels"] == {"sensitivity": "personal"}
    (copy / "mlship.toml").write_text(plain)
    with pytest.raises(BuildError, match=r"does not fit the project.*golden\.labels"):
        build(copy, locked=True)
    assert build(copy).manifest.is_labelled is False


def test_locked_needs_a_lock(copy: Path) -> None:
    (copy / "mlship.lock").unlink()
    with pytest.raises(BuildError, match=r"there is no mlship\.lock"):
        build(copy, locked=True)


def test_the_lock_alone(copy: Path, digest: str) -> None:
    assert lock_only(load_project(copy)) == ()
    (copy / "mlship.lock").unlink()
    assert "runtime" in lock_only(load_project(copy))
    assert not (copy / ".mlship").exists()
    assert build(copy, locked=True).digest == digest
    assert lock_only(load_project(copy), upgrade=True) == ()  # everything is the newest already
