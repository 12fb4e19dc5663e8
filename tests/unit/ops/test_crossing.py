"""Crossings below the command line: what they cost, and what happens when something changes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oci_double import Double, running
from sample_bundle import make_bundle

from mlship.config import parse_project
from mlship.digest import sha256
from mlship.errors import PolicyError, RegistryError
from mlship.ops.context import Context
from mlship.ops.copy import copy_bundle
from mlship.ops.export import export
from mlship.ops.import_bundle import import_bundle
from mlship.ops.labels import check_labels
from mlship.ops.places import users_log
from mlship.ops.policy import set_policy
from mlship.reference import Reference
from mlship.registry import open_registry
from mlship.registry.oci.referrers import EMPTY, attached_manifest
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy
from mlship.trust.audit_log import AuditLog
from mlship.trust.kept_policy import write_kept
from mlship_runtime.bundle.manifest import MANIFEST_TYPE

TOML = """[project]
name = "churn"
{project}
[model]
source = "m"
"""
POLICY = """schema = 1
name = "rules"
version = {version}
domain = "{domain}"
"""
ALLOW = '[allow.it]\nlabels = { sensitivity = ["*"] }\nfrom = ["*"]\nto = ["*"]\n'
PERSONAL = {"sensitivity": "personal"}
Opened = Callable[..., Context]


@pytest.fixture
def context(tmp_path: Path, own_home: Path, own_cache: Path) -> Opened:
    """`context(project, rest)`: of a project that says this."""

    def make(project: str = "", rest: str = "") -> Context:
        return Context(project=parse_project(TOML.format(project=project) + rest, root=tmp_path))

    return make


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    """The project's own builds: 1.0 without labels, 1.1 with a sensitive one."""
    registry = open_folder(f"dir://{tmp_path}/.mlship/store")
    for version, labels in (("1.0", {}), ("1.1", PERSONAL)):
        digest = make_bundle(registry, version=version, labels=labels)
        registry.set_tag("churn", version, digest, None)
    return registry


def ruled(registry: Any, version: int = 1, domain: str = "eu", more: str = ALLOW) -> None:
    found = registry.read_policy()
    text = POLICY.format(version=version, domain=domain) + more
    assert registry.write_policy(write_kept(text, None), found[1] if found else None)


def sent(ctx: Context, source: StoreRegistry, tag: str, to: Any) -> None:
    copy_bundle(ctx, Reference("churn", tag=tag), source, to, tag=tag, verb="push")


def kinds(log: AuditLog) -> list[str]:
    return [f"{entry.fact.verb} {entry.fact.kind}" for entry in log.entries()]


class Far:
    """A store that is not of this machine, and counts what it is asked."""

    def __init__(self, registry: StoreRegistry) -> None:
        self.inner, self.asked = registry.store, []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if name == "url":
            return value

        def ask(*words: Any, **more: Any) -> Any:
            self.asked.append((name, str(words[0]).split("/")[0]))
            return value(*words, **more)

        return ask


@pytest.mark.parametrize(("tag", "more"), [("1.0", []), ("1.1", [("get", "policy")])])
def test_who_uses_no_domains_pays_for_none(
    context: Opened, source: StoreRegistry, tmp_path: Path, own_home: Path, tag: str, more: list[Any]
) -> None:
    """Of a store: the same requests as the bare copy, and one for a bundle that is labelled."""
    bare, watched = (Far(open_folder(f"dir://{tmp_path}/{name}")) for name in ("bare", "watched"))
    digest = source.tags("churn")[tag]
    copy(source, StoreRegistry(bare), "churn", digest, tag=tag)  # type: ignore[arg-type]
    sent(context(), source, tag, StoreRegistry(watched))  # type: ignore[arg-type]
    assert sorted(watched.asked) == sorted(bare.asked + more)
    assert not [path for path in own_home.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("tag", "project", "more"), [("1.0", "", 0), ("1.1", "", 1), ("1.0", 'domain = "eu"', 2)]
)
def test_nor_in_an_oci_registry(
    context: Opened, source: StoreRegistry, monkeypatch, tmp_path: Path, tag: str, project: str, more: int
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    asked = []
    for watched in (False, True):
        with running(Double()) as double:
            registry = open_registry(f"oci://{double.host}/team")
            if watched:
                sent(context(project), source, tag, registry)
            else:
                copy(source, registry, "churn", source.tags("churn")[tag], tag=tag)
            asked.append(len(double.seen))
            assert len([x for x in double.seen if "mlship-policy" in x.path]) == (more if watched else 0)
    assert asked[1] - asked[0] == more


@pytest.fixture
def oci(monkeypatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with running(Double()) as double:
        yield open_registry(f"oci://{double.host}/team")


def test_an_oci_registry_keeps_a_policy(
    context: Opened, source: StoreRegistry, oci: Any, tmp_path: Path
) -> None:
    ctx = context('domain = "here"', f'[registries.team]\nurl = "{oci.url}"\ndomain = "eu"\n')
    file = tmp_path / "p.toml"
    file.write_text(POLICY.format(version=1, domain="eu"))
    assert set_policy(ctx, "team", file).before is None
    file.write_text(POLICY.format(version=2, domain="eu") + '[deny.all]\nlabels = { sensitivity = ["*"] }\n')
    assert set_policy(ctx, "team", file).before == 1
    assert not oci.write_policy(b"{}", None)
    with pytest.raises(PolicyError, match=r"rules refuses it by deny\.all"):
        sent(ctx, source, "1.1", oci)
    sent(ctx, source, "1.0", oci)
    assert oci.names() == ["churn"]
    assert kinds(users_log()) == [
        "policy set policy",
        "policy set policy",
        "push refused",
        "push allowed",
        "push done",
    ]


def test_what_lies_there_and_is_no_policy_is_refused(
    context: Opened, source: StoreRegistry, oci: Any
) -> None:
    ctx = context('domain = "here"')
    oci.write_blob("mlship-policy", sha256(EMPTY), len(EMPTY), [EMPTY])
    other = attached_manifest("application/vnd.example.note+json", EMPTY, EMPTY)
    oci.documents.write("team/mlship-policy", "current", other, MANIFEST_TYPE)
    with pytest.raises(PolicyError, match="cannot be read"):
        sent(ctx, source, "1.0", oci)


def test_a_registry_that_lets_nobody_into_what_is_not_there_has_no_policy(
    context: Opened, source: StoreRegistry, monkeypatch, tmp_path: Path
) -> None:
    """Unless one was seen there, or is asked for."""

    def closed(handler: Any) -> bool:
        shut = "mlship-policy" in handler.path
        if shut:
            handler.error(403, "DENIED")
        return shut

    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with running(Double()) as double:
        registry = open_registry(f"oci://{double.host}/team")
        double.lie = closed
        sent(context(), source, "1.1", registry)
        asks = context("", f'[registries.team]\nurl = "{registry.url}"\npolicy = 1\n')
        with pytest.raises(PolicyError, match="asks for 1"):
            sent(asks, source, "1.1", registry)
        double.lie = None
        ruled(registry)
        sent(context('domain = "here"'), source, "1.1", registry)
        double.lie = closed
        with pytest.raises(PolicyError, match="this machine has seen 1"):
            sent(context(), source, "1.1", registry)


def test_nor_for_a_file(context: Opened, source: StoreRegistry, tmp_path: Path, own_home: Path) -> None:
    """Out of no domain into none: whatever it is labelled, nothing is asked and nothing written down."""
    ctx, file = context(), tmp_path / "churn.tar"
    export(ctx, "churn:1.1", file)
    import_bundle(ctx, file, f"dir://{tmp_path}/team")
    assert not [path for path in own_home.rglob("*") if path.is_file()]
    with pytest.raises(PolicyError, match="from eu to file"):
        export(context('domain = "eu"'), "churn:1.1", file)


def test_one_place_is_in_one_domain(context: Opened, source: StoreRegistry, tmp_path: Path) -> None:
    places = "".join(f'[registries.{x}]\nurl = "dir://./team"\ndomain = "{x}"\n' for x in ("eu", "us"))
    with pytest.raises(PolicyError, match="in eu and in us"):
        sent(context("", places), source, "1.0", open_folder(f"dir://{tmp_path}/team"))


class Meanwhile(StoreRegistry):
    """Somebody does something there when the first blob has come."""

    def __init__(self, store: Any, deed: Callable[[], None]) -> None:
        super().__init__(store)
        self.deed: Callable[[], None] | None = deed

    def adopt_blob(self, *words: Any) -> bool:
        deed, self.deed = self.deed, None
        if deed:
            deed()
        return super().adopt_blob(*words)


def test_a_policy_that_comes_midway_stops_it_before_it_is_published(
    context: Opened, source: StoreRegistry, tmp_path: Path
) -> None:
    team = open_folder(f"dir://{tmp_path}/team")
    ruled(team)
    stricter = Meanwhile(team.store, lambda: ruled(team, 2, more="[deny.all]\n"))
    with pytest.raises(PolicyError, match=r"deny\.all"):
        sent(context('domain = "here"'), source, "1.1", stricter)
    assert (team.names(), team.tags("churn")) == ([], {})
    log = AuditLog(team.store, "audit")
    assert kinds(log) == ["push allowed", "push refused", "push failed"]
    assert [entry.fact.policies for entry in log.entries()] == [("rules 1",), ("rules 2",), ("rules 1",)]
    assert log.check().records == 3


def test_how_a_copy_failed_is_written_down(context: Opened, source: StoreRegistry, tmp_path: Path) -> None:
    team = open_folder(f"dir://{tmp_path}/team")
    ruled(team)

    def broken() -> None:
        raise RegistryError("the disk is full")

    with pytest.raises(RegistryError):
        sent(context('domain = "here"'), source, "1.1", Meanwhile(team.store, broken))
    allowed, failed = AuditLog(team.store, "audit").entries()
    assert (failed.fact.kind, failed.fact.of, failed.fact.why) == (
        "failed",
        allowed.sequence,
        "the disk is full",
    )


class ReadOnly:
    """A store that takes nothing."""

    def __init__(self, registry: StoreRegistry) -> None:
        self.inner = registry.store

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("write", "delete")):
            raise RegistryError("you may only read here")
        return getattr(self.inner, name)


def test_who_may_only_read_keeps_the_record_himself(
    context: Opened, source: StoreRegistry, tmp_path: Path
) -> None:
    team = open_folder(f"dir://{tmp_path}/team")
    ruled(team)
    copy(source, team, "churn", source.tags("churn")["1.1"], tag="2.0")
    ctx = context('domain = "here"')
    read_only = StoreRegistry(ReadOnly(team))  # type: ignore[arg-type]
    copy_bundle(ctx, Reference("churn", tag="2.0"), read_only, source, tag="2.0", verb="pull")
    assert "2.0" in source.tags("churn")
    assert kinds(users_log()) == ["pull allowed", "pull done"]
    assert "could not write this down" in ctx.warnings[0]


def test_what_cannot_be_written_down_where_it_goes_does_not_go(
    context: Opened, source: StoreRegistry, tmp_path: Path
) -> None:
    team = open_folder(f"dir://{tmp_path}/team")
    ruled(team)
    records = tmp_path / "team" / "audit"
    records.write_text("in the way")
    with pytest.raises(RegistryError):
        sent(context('domain = "here"'), source, "1.1", team)
    assert not (tmp_path / "team" / "blobs").exists()
    ruled(team, 2, more="[deny.all]\n")
    ctx = context('domain = "here"')
    with pytest.raises(PolicyError):
        sent(ctx, source, "1.1", team)
    assert "the refusal is not in" in ctx.warnings[0]


PLACES = """[registries.eu]
url = "dir://./eu"
domain = "eu"
[registries.us]
url = "dir://./us"
domain = "us"
[targets.free]
type = "local"
"""
BUILDS = {
    "nothing is said": ("", PERSONAL, "", "", 0),
    "one of two": (PLACES, PERSONAL, "", "", 1),
    "harmless": (PLACES, {"team": "risk"}, "", "", 0),
    "nowhere": (PLACES.replace('"eu"', '"asia"'), PERSONAL, "", "may not go to the registry eu", 0),
    "denied at home": (PLACES, {"team": "risk"}, '[deny.t]\nlabels = { team = ["risk"] }\n', "deny.t", 0),
    "allowed": (PLACES, PERSONAL, ALLOW, "", 0),
}


@pytest.mark.parametrize(("places", "labels", "rules", "said", "warned"), BUILDS.values(), ids=BUILDS)
def test_a_build_looks_where_it_may_go(
    context: Opened, tmp_path: Path, places: str, labels: dict[str, str], rules: str, said: str, warned: int
) -> None:
    words = ", ".join(f'{name} = "{value}"' for name, value in labels.items())
    ctx = context('domain = "eu"' if places else "", f"[bundle]\nlabels = {{ {words} }}\n{places}")
    if rules:
        (tmp_path / "policy.toml").write_text(POLICY.format(version=1, domain="eu") + rules)
    if said:
        with pytest.raises(PolicyError, match=said):
            check_labels(ctx)
        assert set(kinds(users_log())) == {"build refused"}
    else:
        check_labels(ctx)
    assert len(ctx.warnings) == warned


@pytest.mark.parametrize("rows", ["rows.csv", "synthetic"])
def test_a_build_asks_for_rows_that_nobody_has_lived(context: Opened, rows: str) -> None:
    golden = f'[golden]\nfrom = "{rows}"\nlabels = {{ sensitivity = "personal" }}\n'
    ctx = context('domain = "eu"', golden + PLACES.replace('"eu"', '"asia"'))
    if rows == "synthetic":
        check_labels(ctx)
        return
    with pytest.raises(PolicyError, match=r"\(nor to 1 more\)") as caught:
        check_labels(ctx)
    assert 'from = "synthetic"' in caught.value.fix
