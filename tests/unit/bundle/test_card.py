"""The card layer: a bill of materials that CycloneDX's own schema takes, and the project's words."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from sample_content import ARM, LINUX, TOML, cached, content_layers, make_content

from mlship.bundle.audit.card import MAX_CARD, SBOM_PATH, read_card, write_card
from mlship.bundle.audit.licenses import wheel_licenses
from mlship.bundle.audit.sbom import package_url, sbom
from mlship.bundle.document import CARD_PATH
from mlship.bundle.models.reducing import Reducing
from mlship.bundle.packages.resolve import Wheel
from mlship.bundle.packages.wheels import wheel_path
from mlship.config import parse_project
from mlship.errors import BuildError, ConfigError
from mlship_runtime.bundle.canonical import encode

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return sbom(make_content(tmp_path), content_layers(tmp_path))


def component(document: dict[str, Any], ref: str) -> dict[str, Any]:
    (found,) = [part for part in document["components"] if part["bom-ref"] == ref]
    return dict(found)


def test_the_schema_of_cyclonedx_takes_it(document: dict[str, Any]) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(encode(document).decode()) is None
    document["components"][0]["hashes"][0]["content"] = "x"  # it can fail
    assert validator.validate_str(encode(document).decode()) is not None


def test_a_bundle_without_a_reduction_is_taken_too(tmp_path: Path) -> None:
    plain = make_content(tmp_path, TOML.partition("[reduction]")[0])
    layers = [layer for layer in content_layers(tmp_path) if layer.role != "reduction"]
    document = sbom(plain, layers)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(encode(document).decode()) is None
    assert not [part for part in document["components"] if part["bom-ref"] == "reduction"]


@pytest.mark.parametrize(
    ("section", "steps", "name"),
    [('graph = "scale.onnx"', (), "scale.onnx"), ("split = 2", ("imputer", "scaler"), "imputer, scaler")],
)
def test_a_reduction_that_is_a_graph_says_what_made_it(
    tmp_path: Path, section: str, steps: tuple[str, ...], name: str
) -> None:
    content = make_content(tmp_path, TOML.replace('step = "reduction:reduce"', section))
    graph = Reducing(b"", {}, 18, {"skl2onnx": "1.20.0"}, steps)
    converted = dataclasses.replace(content.converted, reducing=graph)
    document = sbom(dataclasses.replace(content, converted=converted), content_layers(tmp_path))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(encode(document).decode()) is None
    found = component(document, "reduction")
    assert (found["name"], {entry["name"]: entry["value"] for entry in found["properties"]}) == (
        name,
        {"mlship:kind": "onnx", "mlship:converter:skl2onnx": "1.20.0"},
    )


def test_the_same_bytes_every_time(document: dict[str, Any], tmp_path: Path) -> None:
    """Nothing of the clock, of chance or of the folder is in it."""
    other = tmp_path / "other"
    other.mkdir()
    again = sbom(make_content(other), content_layers(other))
    assert encode(document) == encode(again)
    assert "serialNumber" not in document
    assert set(document["metadata"]) == {"lifecycles", "component"}
    assert str(tmp_path).encode() not in encode(document)


def test_the_model_has_its_card_and_every_file_its_hash(document: dict[str, Any]) -> None:
    model = component(document, "model")
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "churn", "1.4")
    digest = hashlib.sha256(b"graph").hexdigest()
    assert model["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert [part["name"] for part in model["components"]] == ["model/model.onnx", "model/weights/a.bin"]
    assert model["modelCard"]["modelParameters"] == {
        "inputs": [{"format": "X: FP32 [rows, 2]"}],
        "outputs": [{"format": "score: FP32 [rows, 1]"}],
    }
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [metric["value"] for metric in metrics] == ["40", "1.5e-07", "2e-06"]
    properties = {entry["name"]: entry["value"] for entry in model["properties"]}
    assert properties == {
        "mlship:engine": "onnx",
        "mlship:framework": "sklearn",
        "mlship:opset": "18",
        "mlship:converter:skl2onnx": "1.20.0",
    }
    code = component(document, "reduction")["components"]
    assert [(part["name"], part["hashes"][0]["content"]) for part in code] == [
        ("reduction/reduction.py", hashlib.sha256(b"code").hexdigest())
    ]


def test_every_locked_wheel_is_there_with_purl_hash_and_platforms(
    document: dict[str, Any], tmp_path: Path
) -> None:
    locked = make_content(tmp_path).runtime
    wheels = {wheel for name in locked.platforms for wheel in locked.wheels(name)}
    found = [part for part in document["components"] if part.get("scope") == "required"]
    assert {part["hashes"][0]["content"] for part in found} == {wheel.sha256 for wheel in wheels}
    assert len(found) == len(wheels) == 3
    assert [
        (part["purl"].partition("?")[0], [entry["value"] for entry in part["properties"]]) for part in found
    ] == [
        ("pkg:pypi/numpy@2.4.6%2Bx", [ARM]),
        ("pkg:pypi/numpy@2.4.6%2Bx", [LINUX]),
        ("pkg:pypi/orjson@3.13.0", [LINUX, ARM]),
    ]
    assert found[0]["licenses"] == [{"license": {"name": "BSD License"}}]
    assert found[2]["licenses"] == [{"expression": "MPL-2.0 AND (Apache-2.0 OR MIT)"}]


def test_the_bundle_depends_on_all_of_it(document: dict[str, Any]) -> None:
    refs = [part["bom-ref"] for part in document["components"]]
    assert len(set(refs)) == len(refs)
    assert document["dependencies"] == [{"ref": "bundle", "dependsOn": sorted(refs)}]
    assert document["metadata"]["component"]["bom-ref"] == "bundle"


def test_package_urls_are_written_as_their_specification_has_them() -> None:
    assert package_url("Typing_Extensions", "4.1") == "pkg:pypi/typing-extensions@4.1"
    assert package_url("torch", "2.1+cpu", "torch-2.1+cpu.whl") == (
        "pkg:pypi/torch@2.1%2Bcpu?file_name=torch-2.1%2Bcpu.whl"
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        (["License-Expression: MIT", "License: other"], [{"expression": "MIT"}]),
        (["License-Expression: <script>", "License: MIT"], [{"license": {"name": "MIT"}}]),
        (["License: UNKNOWN"], []),
        (["License: " + "x" * 101], []),
        (["License: BSD", "        and the text of it", "   License: no"], [{"license": {"name": "BSD"}}]),
        (
            [
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: Topic :: Software",
                "Classifier: License :: OSI Approved :: Apache Software License",
                "License: words",
            ],
            [{"license": {"name": "Apache Software License"}}, {"license": {"name": "MIT License"}}],
        ),
        (["License: bell\x07"], []),
    ],
)
def test_what_a_wheel_says_of_its_licence(lines: list[str], expected: list[Any]) -> None:
    found = cached("some", "1.0", "py3-none-any", *lines)
    assert wheel_licenses(wheel_path(Wheel(found.name, found.version, found.file, found.sha256))) == expected


def test_a_wheel_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "some.whl").write_bytes(b"no zip")
    with pytest.raises(BuildError, match=r"some\.whl cannot be read"):
        wheel_licenses(tmp_path / "some.whl")


def carding(root: Path, name: str = "CARD.md", more: str = "") -> Any:
    toml = f'[project]\nname = "churn"\n[bundle]\ncard = "{name}"\n{more}[model]\nsource = "m.onnx"\n'
    return read_card(parse_project(toml, root=root))


def test_the_layer_has_both(tmp_path: Path) -> None:
    (tmp_path / "CARD.md").write_text("# Churn\n")
    content, layers = make_content(tmp_path), content_layers(tmp_path)
    layer = write_card(content, layers, carding(tmp_path), tmp_path)
    assert (layer.role, layer.title) == ("card", "card.tar")
    assert [entry.path for entry in layer.entries] == [CARD_PATH, SBOM_PATH]
    assert json.dumps(sbom(content, layers), sort_keys=True, separators=(",", ":")).encode() in (
        layer.path.read_bytes()
    )
    plain = write_card(content, layers, None, tmp_path)
    assert [entry.path for entry in plain.entries] == [SBOM_PATH]


def test_a_project_need_not_have_one(tmp_path: Path) -> None:
    project = parse_project('[project]\nname = "a"\n[model]\nsource = "m.onnx"\n', root=tmp_path)
    assert read_card(project) is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "mlship.toml:4: bundle.card is not to be read: No such file or directory"),
        (b"\xff\xfe", "mlship.toml:4: bundle.card is not UTF-8 text"),
        (b"x" * (MAX_CARD + 1), "mlship.toml:4: bundle.card is too large: at most 1048576 bytes"),
    ],
    ids=["absent", "no text", "too large"],
)
def test_what_is_no_card_is_named_with_its_line(tmp_path: Path, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / "CARD.md").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        carding(tmp_path)
    assert str(caught.value).startswith(said)


def test_a_secret_in_it_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "CARD.md").write_text("Ask us:\nghp_" + "a" * 36 + "\n")
    with pytest.raises(BuildError, match=r"CARD.md:2 looks like it has a token of GitHub"):
        carding(tmp_path)
    assert carding(tmp_path, more='not_secret = ["CARD.md:2"]\n')
