"""copy, untag, gc, fsck and the history of tags, on small bundles that were not built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_bundle import make_bundle

from mlship.registry import open_registry

TOML = '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m"\n[registries.team]\nurl = "dir://./team"\n'


@pytest.fixture
def team(tmp_path: Path) -> str:
    """A project whose registry `team` has churn:1.0 and churn:1.1; the digest of 1.0."""
    (tmp_path / "mlship.toml").write_text(TOML)
    registry = open_registry(f"dir://{tmp_path}/team")
    for version, model in (("1.0", b"one"), ("1.1", b"two")):
        registry.set_tag("churn", version, make_bundle(registry, model=model), None, source="build")
    return registry.tags("churn")["1.0"]


def test_copy_one(team: str, run, tmp_path: Path) -> None:
    ended = run("copy", "team/churn:1.0", f"dir://{tmp_path}/mirror")
    assert (ended.code, ended.err) == (0, "checking churn ...\nhashing churn ...\n")
    assert ended.out.splitlines()[0] == f"in dir://{tmp_path}/mirror"
    again = run("copy", "team/churn:1.0", f"dir://{tmp_path}/mirror", "--json").envelope["result"]["bundles"]
    assert [(one["digest"], one["sentBlobs"]) for one in again] == [(team, 0)]


def test_a_limit_of_rate(team: str, run, tmp_path: Path) -> None:
    assert run("copy", "team/churn:1.0", f"dir://{tmp_path}/mirror", "--limit-rate", "5MB").code == 0
    refused = run("push", "team/churn:1.0", "--limit-rate", "fast")
    assert (refused.code, "'fast' is no rate" in refused.err) == (2, True)


def test_copy_all(team: str, run, tmp_path: Path) -> None:
    done = run("copy", "team", f"dir://{tmp_path}/mirror", "--json").envelope["result"]["bundles"]
    assert [one["reference"] for one in done] == ["churn:1.0", "churn:1.1"]
    mirror, source = (open_registry(f"dir://{tmp_path}/{name}") for name in ("mirror", "team"))
    assert mirror.tags("churn") == source.tags("churn")
    ended = run("copy", "team", "team")
    assert (ended.code, "Name another registry" in ended.err) == (2, True)


def test_history_of_tags(team: str, run) -> None:
    run("tag", "team/churn:1.0", "stable")
    run("tag", "team/churn:1.1", "stable")
    moves = run("list", "team/churn:stable", "--history", "--json").envelope["result"]["moves"]
    assert [move["source"] for move in moves] == ["churn:1.0", "churn:1.1"]
    assert moves[0]["digest"] == team
    table = run("list", "team/churn", "--history").out.splitlines()
    assert table[0].split() == ["when", "tag", "digest", "by", "from"]
    assert len(table) == 5
    assert run("list", "--history").code == 2
    assert run("list", "team/churn:nothing", "--history").code == 5


def test_untag_then_gc(team: str, run) -> None:
    refused = run("untag", "team/churn:1.0")
    assert (refused.code, "Add --yes" in refused.err) == (2, True)
    ended = run("untag", "team/churn:1.0", "--yes")
    assert ended.code == 0
    assert "no tag names that bundle any more: mlship gc removes it" in ended.out
    assert run("untag", "team/churn:1.0", "--yes").code == 5
    assert run("untag", f"team/churn@{team}", "--yes").code == 2
    asked = run("gc", "team", "--dry-run", "--json").envelope["result"]
    assert (asked["dryRun"], asked["registries"][0]["bundles"]) == (True, [f"churn@{team}"])
    assert run("gc", "team").code == 2
    done = run("gc", "team", "--yes", "--json").envelope["result"]["registries"][0]
    assert {key: done[key] for key in ("bundles", "blobs", "bytes")} == {
        key: asked["registries"][0][key] for key in ("bundles", "blobs", "bytes")
    }
    assert [entry["tags"] for entry in run("list", "team", "--json").envelope["result"]["bundles"]] == [
        ["1.1"]
    ]


def test_gc_near_at_hand(team: str, run, tmp_path: Path) -> None:
    make_bundle(open_registry(f"dir://{tmp_path}/.mlship/store"))
    said = run("gc", "--dry-run").out.splitlines()
    assert said[0].startswith(f"dir://{tmp_path}/.mlship/store: 1 bundles and 8 blobs")
    assert said[0].endswith("would be removed")


@pytest.mark.parametrize("verb", [("gc", "--dry-run"), ("fsck",)])
def test_a_default_registry_of_another_kind_is_left_alone(
    team: str, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MLSHIP_REGISTRY", "oci://127.0.0.1:1/team")
    ended = run(*verb, "--json")
    assert ended.code == 0
    (here,) = ended.envelope["result"]["registries"]
    assert here["registry"] == f"dir://{tmp_path}/.mlship/store"
    assert ended.envelope["warnings"] == [
        "oci://127.0.0.1:1/team was left alone: it keeps its content by its own means"
    ]
    assert run(*verb, "default").code == 2


def test_fsck(team: str, run, tmp_path: Path) -> None:
    run("copy", "team", f"dir://{tmp_path}/mirror")
    whole = run("fsck", "team")
    assert (whole.code, "whole; 2 bundles, 2 tags" in whole.out) == (0, True)
    victim = max((tmp_path / "team/blobs/sha256").iterdir(), key=lambda file: file.stat().st_size)
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(b"x" + content[1:])
    damaged = run("fsck", "team")
    assert damaged.code == 4
    assert f"damaged   blobs/sha256/{victim.name}: " in damaged.out
    assert run("fsck", "team", "--from", f"dir://{tmp_path}/mirror").code == 2
    mended = run("fsck", "team", "--repair", "--from", f"dir://{tmp_path}/mirror", "--json")
    assert mended.code == 0
    (damage,) = mended.envelope["result"]["registries"][0]["damage"]
    assert (damage["key"], damage["repaired"]) == (f"blobs/sha256/{victim.name}", True)
    assert victim.read_bytes() == content
    assert json.loads(run("fsck", "team", "--json").out)["result"]["ok"] is True
