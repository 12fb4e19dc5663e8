"""kill -9 at every call of a watched push that changes the disk: no byte without its record."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from sample_bundle import make_bundle
from sample_kills import check_everything_published, killed_at
from sampling import Some

from mlship.ops.context import Context
from mlship.ops.copy import copy_bundle
from mlship.ops.policy import audit
from mlship.reference import Reference
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.trust.audit_log import AuditLog
from mlship.trust.kept_policy import write_kept
from mlship.trust.seen_policies import seen

pytestmark = pytest.mark.faults

PROJECT = '[project]\nname = "churn"\ndomain = "eu"\n[model]\nsource = "m"\n'
POLICY = """schema = 1
name = "rules"
version = {version}
domain = "cloud"
[allow.it]
labels = {{ sensitivity = ["*"] }}
from = ["eu"]
to = ["{to}"]
"""
REF = Reference("churn", tag="1.0")


def kinds(log: AuditLog) -> list[str]:
    return [entry.fact.kind for entry in log.entries()]


def has_content(folder: Path) -> bool:
    parts = [folder / kind for kind in ("blobs", "manifests", "tags")]
    return any(path.is_file() for part in parts for path in part.rglob("*"))


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    registry = open_folder(f"dir://{tmp_path}/source")
    registry.set_tag("churn", "1.0", make_bundle(registry, labels={"sensitivity": "high"}), None)
    return registry


def ruled(folder: Path, to: str) -> tuple[StoreRegistry, AuditLog]:
    team = open_folder(f"dir://{folder}/team")
    assert team.write_policy(write_kept(POLICY.format(version=1, to=to), None), None)
    return team, AuditLog(team.store, "audit")


def push(source: StoreRegistry, team: StoreRegistry) -> None:
    copy_bundle(Context.here(), REF, source, team, tag="1.0", verb="push")


def test_a_push(tmp_path: Path, source: StoreRegistry, monkeypatch: pytest.MonkeyPatch, some: Some) -> None:
    """The source is in no place of the project's: it is given the project's domain by its name."""
    digest, point, killed = source.tags("churn")["1.0"], 0, True
    while killed:
        point += some.stride(cost=2)
        root = tmp_path / str(point)
        root.mkdir()
        places = f'[registries.source]\nurl = "{source.url}"\ndomain = "eu"\n'
        (root / "mlship.toml").write_text(PROJECT + places)
        monkeypatch.chdir(root)
        monkeypatch.setenv("MLSHIP_HOME", str(root / "home"))
        team, log = ruled(root, "cloud")
        killed = killed_at(point, partial(push, source, team))
        said = kinds(log)
        log.check()
        assert said in (["allowed"], ["allowed", "done"], [] if killed else None)
        if has_content(root / "team"):
            assert said[0] == "allowed"
            assert seen(team.url) == 1
        check_everything_published(team)
        assert "done" not in said or team.tags("churn") == {"1.0": digest}
        push(source, team)
        assert team.tags("churn") == {"1.0": digest}
        log.check()
        ended = audit(Context.here(), team.url, verify=True)
        assert len(ended.unfinished) == (1 if said == ["allowed"] else 0)
        assert kinds(log)[-2:] == ["allowed", "done"]
    assert point > 60


def test_a_refusal(
    tmp_path: Path, source: StoreRegistry, monkeypatch: pytest.MonkeyPatch, some: Some
) -> None:
    """Whatever it is killed at, nothing has moved, and the log can be gone on with."""
    point, killed = 0, True

    def refused(team: StoreRegistry) -> None:
        with pytest.raises(Exception, match="refuses it by sensitive"):
            push(source, team)

    while killed:
        point += some.stride()
        root = tmp_path / str(point)
        root.mkdir()
        (root / "mlship.toml").write_text(PROJECT)
        monkeypatch.chdir(root)
        monkeypatch.setenv("MLSHIP_HOME", str(root / "home"))
        team, log = ruled(root, "elsewhere")
        killed = killed_at(point, partial(refused, team))
        assert not has_content(root / "team")
        log.check()
        assert kinds(log) == ["refused"] or killed
        before = log.check().records
        refused(team)
        assert (log.check().records, kinds(log)[-1]) == (before + 1, "refused")
    assert point > 10
