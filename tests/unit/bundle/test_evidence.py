"""The proof that a bundle brings: missing, contradicting or empty ones are told from real ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import GOLDEN, make_layers, make_spec, write_bundle

from mlship.bundle.archive import write_layer
from mlship.bundle.audit.evidence import read_evidence
from mlship.bundle.open import OpenBundle, open_bundle
from mlship.errors import BundleError
from mlship.reference import Reference
from mlship.registry.over_store import open_folder
from mlship_runtime.bundle import canonical

Json = dict[str, Any]
Change = Callable[[Json, Json], Any]
SCORES = {"name": "score", "datatype": "FP32", "shape": [2, 1], "data": [0.25, 0.5]}


@pytest.fixture
def made(tmp_path: Path) -> Callable[[Change], OpenBundle]:
    """`made(change)`: a bundle with a label and a score, after `change(spec, golden)`."""

    def make(change: Change) -> OpenBundle:
        registry, golden = open_folder(f"dir://{tmp_path}/registry"), copy.deepcopy(GOLDEN)
        golden["outputs"].append(dict(SCORES))
        spec = make_spec([])
        spec["parity"] = {**spec["parity"], "maxAbs": 1e-7, "tolerance": {"abs": 1e-4, "rel": 1e-4}}
        spec["schema"]["outputs"].append(
            {"name": "score", "datatype": "FP32", "shape": [-1, 1], "nullable": False}
        )
        change(spec, golden)
        layers = make_layers(tmp_path)
        data = canonical.encode(golden)
        layers[-1] = write_layer(tmp_path / "golden.tar", "golden", [("golden/golden.json", data)])
        spec["files"] = make_spec(layers)["files"]
        return open_bundle(registry, Reference("churn", digest=write_bundle(registry, layers, spec)))

    return make


def test_a_proved_bundle(made) -> None:
    found = read_evidence(made(lambda spec, golden: None))
    assert (found.rows, found.max_abs, found.golden_rows) == (2, 1e-7, 2)


def test_a_model_that_was_onnx_already_has_nothing_to_be_compared_with(made) -> None:
    def change(spec: Json, golden: Json) -> None:
        spec["model"]["framework"] = "onnx"
        spec["parity"] = {"rows": 0, "maxAbs": 0.0, "maxRel": 0.0, "decisionsEqual": True}

    assert (read_evidence(made(change)).rows, read_evidence(made(change)).golden_rows) == (0, 2)


BAD: dict[str, tuple[Change, str]] = {
    "never compared": (lambda s, g: s["parity"].update(rows=0), "never compared with the original"),
    "decides otherwise": (
        lambda s, g: s["parity"].update(decisionsEqual=False),
        "its model decides otherwise",
    ),
    "an older proof": (lambda s, g: s["parity"].pop("tolerance"), "an older mlship has built it"),
    "no proof": (lambda s, g: s.update(parity={}), "'rows' is missing"),
    "an error that is no number": (lambda s, g: s["parity"].update(maxAbs="0"), "'maxAbs' is not a number"),
    "a negative error": (lambda s, g: s["parity"].update(maxRel=-1.0), "'maxRel' is not a number from 0 on"),
    "beyond its own absolute tolerance": (
        lambda s, g: s["parity"].update(maxAbs=0.1, tolerance={"abs": 0.01, "rel": 0.0}),
        "beyond its own tolerance",
    ),
    "beyond its own relative tolerance": (
        lambda s, g: s["parity"].update(maxRel=0.1, tolerance={"abs": 0.0, "rel": 0.01}),
        "beyond its own tolerance",
    ),
    "a tolerance for anything": (
        lambda s, g: s["parity"].update(tolerance={"abs": 0.0, "rel": 1.0}),
        "the tolerance of the conversion lets any answer pass",
    ),
    "a golden tolerance for anything": (
        lambda s, g: s["golden"]["tolerance"].update(score={"abs": 0.0, "rel": 2.0}),
        "the tolerance of the output 'score' lets any answer pass",
    ),
    "no golden tolerance": (
        lambda s, g: s["golden"]["tolerance"].pop("score"),
        "no tolerance for the output 'score'",
    ),
    "no golden rows": (lambda s, g: s["golden"].update(rows=0), "it has no golden examples"),
    "more rows said than there are": (lambda s, g: s["golden"].update(rows=3), "have no 3 rows of 'age'"),
    "an output less": (lambda s, g: g["outputs"].pop(), "have no 2 rows of 'score'"),
    "an output more": (
        lambda s, g: g["outputs"].append({**SCORES, "name": "more"}),
        "are not those of its schema",
    ),
    "no inputs": (lambda s, g: g.pop("inputs"), "have no 2 rows of 'age'"),
    "inputs that are none": (lambda s, g: g.update(inputs=[7]), "have no 2 rows of 'age'"),
    "another datatype": (lambda s, g: g["outputs"][1].update(datatype="FP64"), "have no 2 rows of 'score'"),
    "a value less": (lambda s, g: g["outputs"][1]["data"].pop(), "have no 2 rows of 'score'"),
    "another width": (
        lambda s, g: g["outputs"][1].update(shape=[2, 2], data=[0.0] * 4),
        "have no 2 rows of 'score'",
    ),
    "a negative size": (lambda s, g: g["outputs"][1].update(shape=[2, -1]), "have no 2 rows of 'score'"),
    "a schema without outputs": (
        lambda s, g: (s["schema"].update(outputs=[]), g.update(outputs=[])),
        "are not those of its schema",
    ),
}


@pytest.mark.parametrize(("change", "why"), BAD.values(), ids=BAD)
def test_what_proves_nothing_is_refused(made, change: Change, why: str) -> None:
    with pytest.raises(BundleError) as caught:
        read_evidence(made(change))
    assert why in str(caught.value)
    assert caught.value.exit_code == 4


def test_damaged_examples_prove_nothing(made) -> None:
    bundle = made(lambda spec, golden: None)
    path = bundle.registry.file_of_blob("churn", bundle.manifest.layers[-2].digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.75"))
    with pytest.raises(BundleError, match=r"golden.json"):
        read_evidence(bundle)
