"""What names stand for: registries, references, the last build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_bundle import make_bundle

from mlship.config import parse_project
from mlship.errors import BundleError, ConfigError, RegistryError, UsageError
from mlship.ops.context import Context

TOML = """\
[project]
name = "churn"
[model]
source = "model.joblib"
[registries.team]
url = "dir://./team"
[targets.prod]
type = "local"
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return Context(project=parse_project(TOML, root=tmp_path))


def build(ctx: Context, version: str = "1.0") -> str:
    """A bundle in the project's own store, as a build leaves it."""
    registry = ctx.build_registry()
    digest = make_bundle(registry, version=version)
    registry.set_tag("churn", version, digest, registry.read_tag("churn", version))
    built = {"schemaVersion": 1, "reference": f"churn:{version}", "digest": digest}
    (ctx.project_or_error().state / "built.json").write_text(json.dumps(built))
    return digest


def publish(ctx: Context, tag: str, model: bytes, name: str | None = None) -> str:
    registry = ctx.registry(name)
    digest = make_bundle(registry, model=model)
    registry.set_tag("churn", tag, digest, None)
    return digest


def test_registries_by_name_url_and_default(ctx: Context, own_home: Path, tmp_path: Path) -> None:
    assert ctx.registry().url == ctx.registry("default").url == f"dir://{own_home}/registry"
    assert ctx.registry("team").url == f"dir://{tmp_path}/team"
    assert ctx.registry("dir:///srv/x").url == "dir:///srv/x"
    with pytest.raises(UsageError, match="Did you mean team"):
        ctx.registry("teem")


def test_the_environment_names_the_default_registry(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLSHIP_REGISTRY", "dir:///srv/all")
    assert ctx.registry().url == "dir:///srv/all"


def test_the_project_may_name_its_default_registry(tmp_path: Path) -> None:
    ctx = Context(project=parse_project(TOML.replace("registries.team", "registries.default"), root=tmp_path))
    assert ctx.registry().url == f"dir://{tmp_path}/team"


def test_no_reference_is_the_last_build(ctx: Context) -> None:
    digest = build(ctx)
    bundle = ctx.open_bundle()
    assert (str(bundle.reference), bundle.digest) == ("churn:1.0", digest)


def test_a_build_whose_tag_moved_is_found_by_its_digest(ctx: Context) -> None:
    first = build(ctx)
    record = (ctx.project_or_error().state / "built.json").read_text()
    registry = ctx.build_registry()
    other = make_bundle(registry, model=b"other")
    registry.set_tag("churn", "1.0", other, registry.read_tag("churn", "1.0"))
    (ctx.project_or_error().state / "built.json").write_text(record)
    assert ctx.open_bundle().digest == first


def test_without_a_build_or_a_project_a_bundle_must_be_named(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="churn has not been built yet"):
        ctx.open_bundle()
    with pytest.raises(UsageError, match="there is no project here"):
        Context().open_bundle()


def test_a_damaged_record_of_the_build_is_said(ctx: Context) -> None:
    build(ctx)
    (ctx.project_or_error().state / "built.json").write_text("{}")
    with pytest.raises(BundleError, match=r"built\.json cannot be read"):
        ctx.open_bundle()


def test_what_is_published_goes_before_what_was_built(ctx: Context) -> None:
    own, published = build(ctx), publish(ctx, "1.0", b"published")
    assert ctx.open_bundle("churn:1.0").digest == published
    registry, reference = ctx.locate("churn:1.0", own_first=True)
    assert registry.resolve(reference) == own


def test_what_is_not_published_is_taken_from_the_builds(ctx: Context) -> None:
    own = build(ctx)
    publish(ctx, "0.9", b"published")
    assert ctx.open_bundle("churn:1.0").digest == own
    assert ctx.open_bundle(f"churn@{own}").digest == own


def test_a_reference_may_name_its_registry(ctx: Context) -> None:
    build(ctx)
    there = publish(ctx, "1.0", b"there", "team")
    assert ctx.open_bundle("team/churn:1.0").digest == there
    assert ctx.open_bundle(f"{ctx.registry('team').url}/churn:1.0").digest == there


def test_an_unknown_tag_says_which_there_are(ctx: Context) -> None:
    publish(ctx, "0.9", b"published")
    with pytest.raises(RegistryError, match=r"0\.9"):
        ctx.open_bundle("churn:1.0")


def test_no_project_is_an_error_where_one_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Context.here().project is None
    with pytest.raises(ConfigError, match="mlship init"):
        Context.here().project_or_error()
