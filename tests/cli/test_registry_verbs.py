"""inspect, verify, list, push, pull and tag, on a small bundle that was not built."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from sample_bundle import make_bundle, make_layers, make_spec, write_bundle

from mlship.registry import open_registry

TOML = '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m"\n[registries.team]\nurl = "dir://./team"\n'


@pytest.fixture
def built(run, tmp_path: Path) -> str:
    """A project with a build; the digest."""
    (tmp_path / "mlship.toml").write_text(TOML)
    registry = open_registry(f"dir://{tmp_path}/.mlship/store")
    digest = make_bundle(registry)
    registry.set_tag("churn", "1.0", digest, None)
    (tmp_path / ".mlship" / "built.json").write_text(
        json.dumps({"schemaVersion": 1, "reference": "churn:1.0", "digest": digest})
    )
    return digest


def test_inspect(built: str, run, tmp_path: Path) -> None:
    ended = run("inspect")
    assert (ended.code, ended.err) == (0, "")
    facts, *tables = ended.out.split("\n\n")
    assert facts.splitlines() == [
        "bundle    churn:1.0",
        f"digest    {built}",
        f"registry  dir://{tmp_path}/.mlship/store",
        "labels    team=risk",
        "model     onnx, from sklearn by skl2onnx 1.20.0",
        "runs on   Python 3.11, linux-amd64-cp311-gnu2.28, macos-arm64-cp311-14",
        "size      " + facts.rpartition("size      ")[2].splitlines()[0],
        "golden    2 rows, within score 1e-06 + 1e-05 of it",
        "parity    decisions equal on 2 rows, numbers within 0",
    ]
    assert [table.splitlines()[0] for table in tables] == [
        "layers", "what takes the room", "inputs", "reduced by reduce:reduce", "outputs", "packages",
    ]  # fmt: skip
    assert "runtime    runtime-linux.tar" in tables[0]
    assert "numpy           linux-amd64-cp311-gnu2.28" in tables[1]
    assert "age   FP64  rows   allowed" in tables[2]
    assert "label  INT64  rows x 1  no" in tables[4]


def test_inspect_tells_what_the_examples_had(run, tmp_path: Path) -> None:
    (tmp_path / "mlship.toml").write_text(TOML)
    layers = make_layers(tmp_path)
    document = make_spec(layers)
    document["schema"]["inputs"][0]["seen"] = {"min": 18, "max": 80.25}
    document["schema"]["outputs"][0]["seen"] = {"values": [0, 1]}
    registry = open_registry(f"dir://{tmp_path}/.mlship/store")
    registry.set_tag("churn", "1.0", write_bundle(registry, layers, document), None)
    tables = {table.splitlines()[0]: table for table in run("inspect", "churn:1.0").out.split("\n\n")}
    assert "missing values  seen in the examples" in tables["inputs"]
    assert "age   FP64  rows   allowed         18 to 80.25" in tables["inputs"]
    assert tables["outputs"].rstrip().endswith("0, 1")
    assert "seen" not in tables["reduced by reduce:reduce"]
    result = run("inspect", "churn:1.0", "--json").envelope["result"]
    assert result["inputs"][0]["seen"] == {"values": [], "min": 18, "max": 80.25}
    assert result["outputs"][0]["seen"] == {"values": [0, 1], "min": None, "max": None}
    assert result["reduced"][0]["seen"] is None


def test_inspect_as_json_has_all_of_it(built: str, run) -> None:
    result = run("inspect", f"churn@{built}", "--json").envelope["result"]
    assert result["digest"] == built
    assert list(result) == [
        "reference", "name", "version", "digest", "registry", "labels", "rowLabels", "engine", "model",
        "globals", "framework", "registered", "converter", "reduction", "fused", "apart", "python",
        "platforms", "size", "layers", "absent", "card", "room", "files", "inputs", "reduced", "outputs",
        "requirements", "goldenRows", "tolerance", "parity", "signatures", "origins", "quality",
    ]  # fmt: skip
    assert list(result["layers"][0]) == ["role", "title", "platform", "size", "files", "digest"]
    assert result["size"] == sum(layer["size"] for layer in result["layers"])


def test_inspect_lists_every_file(built: str, run) -> None:
    listed = run("inspect", "--files", "--json").envelope["result"]["files"]
    assert len(listed) == 7
    assert listed[0] == {
        "layer": "model.tar",
        "path": "model/model.onnx",
        "size": 7,
        "sha256": hashlib.sha256(b"a model").hexdigest(),
    }
    table = next(part for part in run("inspect", "--files").out.split("\n\n") if part.startswith("files"))
    assert len(table.splitlines()) == 2 + 7
    assert run("inspect", "--json").envelope["result"]["files"] == []


def test_inspect_names_the_classes_of_probabilities(built: str, run, tmp_path: Path) -> None:
    registry = open_registry(f"dir://{tmp_path}/.mlship/store")
    (tmp_path / "layers").mkdir()
    layers = make_layers(tmp_path / "layers")
    document = make_spec(layers)
    chances = {"name": "chances", "datatype": "FP32", "shape": [-1, 2], "nullable": False}
    document["schema"]["outputs"].append({**chances, "classes": ["go", "stay"]})
    digest = write_bundle(registry, layers, document)
    ended = run("inspect", f"churn@{digest}")
    assert ended.code == 0
    assert "chances  FP32   rows x 2  no              go, stay" in ended.out
    outputs = run("inspect", f"churn@{digest}", "--json").envelope["result"]["outputs"]
    assert [output["classes"] for output in outputs] == [[], ["go", "stay"]]


def test_verify(built: str, run) -> None:
    ended = run("verify")
    assert ended.code == 0
    assert ended.out.startswith("churn:1.0 is whole: 7 files, ")


def damage(tmp_path: Path, change) -> None:
    """Change the largest blob of the project's store."""
    blobs = [path for path in (tmp_path / ".mlship" / "store").rglob("*") if path.is_file()]
    path = max(blobs, key=lambda path: path.stat().st_size)
    path.chmod(0o644)
    change(path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        flip,
        lambda path: path.write_bytes(path.read_bytes()[:-512]),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    ],
    ids=["one bit", "too short", "too long"],
)
def test_verify_of_a_damaged_bundle_ends_with_4(built: str, run, tmp_path: Path, change) -> None:
    damage(tmp_path, change)
    ended = run("verify")
    assert (ended.code, ended.out) == (4, "")
    assert ended.err.splitlines()[-1].startswith("error: ")
    pushed = run("push", "--json")
    assert (pushed.code, pushed.envelope["error"]["kind"]) == (4, "bundle")
    assert run("list", "default").out.startswith("no bundles")


def test_push_sends_once_and_tags(built: str, run, own_home: Path) -> None:
    first = run("push", "--json").envelope["result"]
    assert first["reference"] == "churn:1.0"
    assert first["destination"] == f"dir://{own_home}/registry"
    assert (first["sentBlobs"], first["presentBlobs"]) == (8, 0)
    again = run("push", "churn:1.0", "default", "--json").envelope["result"]
    assert (again["sentBlobs"], again["sentBytes"], again["presentBytes"]) == (0, 0, first["sentBytes"])
    assert run("push").out.splitlines()[0] == f"churn:1.0 is in dir://{own_home}/registry"


def test_push_by_digest_leaves_tags_alone(built: str, run) -> None:
    assert run("push", f"churn@{built}", "team").code == 0
    listed = run("list", "team", "--json").envelope["result"]["bundles"]
    assert listed == [{"registry": "team", "name": "churn", "tags": [], "digest": built}]


def test_tag_and_list(built: str, run) -> None:
    run("push")
    assert run("tag", "churn:1.0", "stable").out == f"churn:stable is {built}\n"
    listed = run("list", "churn", "--json").envelope["result"]["bundles"]
    assert [(entry["registry"], entry["tags"]) for entry in listed] == [
        ("this project", ["1.0"]),
        ("default", ["1.0", "stable"]),
    ]
    assert run("list", "default/churn").code == 0
    unknown = run("list", "chunr")
    assert (unknown.code, unknown.err[:34]) == (5, "error: there is no bundle 'chunr'.")


def test_a_tag_that_moves_says_where_it_was(built: str, run, tmp_path: Path) -> None:
    run("push")
    run("tag", "churn:1.0", "stable")
    registry = open_registry(f"dir://{tmp_path}/.mlship/store")
    other = make_bundle(registry, model=b"other")
    run("push", f"churn@{other}")
    assert run("tag", f"churn@{other}", "stable").out == f"churn:stable is {other} (it was {built[:19]})\n"


def test_pull_brings_a_bundle_to_the_project(built: str, run, tmp_path: Path, monkeypatch) -> None:
    run("push", "churn:1.0", "team")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mlship.toml").write_text(TOML.replace("./team", f"{tmp_path}/team"))

    monkeypatch.chdir(elsewhere)
    ended = run("pull", "team/churn:1.0", "--json")
    assert ended.envelope["result"]["destination"] == f"dir://{elsewhere}/.mlship/store"
    assert run("verify", "churn:1.0").code == 0
    assert run("pull", "churn:1.0", "team", "--json").envelope["result"]["sentBlobs"] == 0


def test_pull_from_where_it_would_go_is_refused(run, tmp_path: Path) -> None:
    ended = run("pull", "churn:1.0")
    assert (ended.code, ended.err[:47]) == (2, "error: churn:1.0 is to be pulled from where it ")
    ended = run("pull", "a/churn:1.0", "b")
    assert (ended.code, ended.err) == (2, "error: a/churn:1.0 names a registry, and b is another. Name one\n")


@pytest.mark.parametrize(
    "words", ["inspect churn:9", "push churn:9 team", "pull churn:9 team", "tag churn:9 x"]
)
def test_an_unknown_tag_ends_with_5(built: str, run, words: str) -> None:
    ended = run(*words.split())
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.startswith("error: ")
