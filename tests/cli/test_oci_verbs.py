"""login, push, list, pull, tag and logout with an OCI registry that wants a password."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from oci_double import PASSWORD, USER, Double, running
from sample_bundle import make_bundle

from mlship.registry import open_registry

TOML = '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m"\n[registries.team]\nurl = "%s"\n'


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """Where the credentials go."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def double() -> Iterator[Double]:
    with running(Double(auth="basic")) as double:
        yield double


@pytest.fixture
def digest(tmp_path: Path, double: Double) -> str:
    """A project that keeps a bundle; its digest."""
    (tmp_path / "mlship.toml").write_text(TOML % f"oci://{double.host}/team")
    registry = open_registry(f"dir://{tmp_path}/.mlship/store")
    digest = make_bundle(registry)
    registry.set_tag("churn", "1.0", digest, None)
    return digest


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_whole_way(
    run, double: Double, digest: str, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run("push", "churn:1.0", "team")
    assert (refused.code, refused.out) == (5, "")
    assert f"Run: mlship login {double.host}" in refused.err
    given(monkeypatch, PASSWORD + "\n")
    entered = run("login", double.host, "--username", USER, "--password-stdin")
    assert entered.code == 0
    assert entered.out == f"logged in to {double.host} as {USER}; the password is kept in {docker}\n"
    assert "unencrypted" in entered.err
    assert PASSWORD not in entered.out + entered.err
    assert stat.S_IMODE(docker.stat().st_mode) == 0o600
    assert run("push", "churn:1.0", "team").code == 0
    assert run("push", "churn:1.0", "team", "--json").envelope["result"]["sentBytes"] == 0
    assert run("tag", "team/churn:1.0", "prod").code == 0
    (found,) = run("list", "team/churn", "--json").envelope["result"]["bundles"]
    assert (found["name"], found["tags"], found["digest"]) == ("churn", ["1.0", "prod"], digest)
    assert (
        run("list", f"oci://{double.host}/team", "--json").envelope["result"]["bundles"][0]["digest"]
        == digest
    )
    (found,) = run("list", f"oci://{double.host}/team/churn", "--json").envelope["result"]["bundles"]
    assert (found["registry"], found["name"]) == (f"oci://{double.host}/team", "churn")
    assert run("verify", f"team/churn@{digest}").code == 0
    monkeypatch.setenv("MLSHIP_REGISTRY", f"oci://{double.host}/team")
    assert run("inspect", f"churn@{digest}", "--json").envelope["result"]["digest"] == digest
    assert run("logout", double.host).out == f"{double.host}: its credentials are forgotten\n"
    assert run("logout", double.host).out == f"{double.host}: no credentials were kept\n"
    assert run("pull", "churn:1.0", "team").code == 5
    assert json.loads(docker.read_text()) == {"auths": {}}


def test_between_any_two(run, double: Double, digest: str, tmp_path: Path) -> None:
    double.auth = "none"
    there, beside = f"oci://{double.host}/team", f"oci://{double.host}/beside"
    assert run("copy", "churn:1.0", there).code == 0
    assert run("tag", f"{there}/churn:1.0", "prod").code == 0
    mirrored = run("copy", there, beside, "--json")
    assert mirrored.code == 0
    assert {x["sentBlobs"] for x in mirrored.envelope["result"]["bundles"]} == {0}, "they were not mounted"
    assert run("copy", beside, f"dir://{tmp_path}/mirror", "--limit-rate", "100 MB").code == 0
    (found,) = run("list", f"dir://{tmp_path}/mirror", "--json").envelope["result"]["bundles"]
    assert (found["digest"], found["tags"]) == (digest, ["1.0", "prod"])
    assert run("copy", f"{there}/churn:1.0", f"dir://{tmp_path}/one").code == 0
    assert run("copy", f"{there}/churn@{digest}", f"dir://{tmp_path}/one").code == 0
    assert run("untag", f"{there}/churn:prod", "--yes").code == 0
    assert run("list", there, "--json").envelope["result"]["bundles"][0]["tags"] == ["1.0"]
    history = run("list", "--history", f"{there}/churn")
    assert (history.code, "does not keep the moves of its tags" in history.err) == (5, True)


@pytest.mark.parametrize("vendor", ["gitlab", "artifactory 6"])
def test_a_registry_of_images_alone(run, double: Double, digest: str, tmp_path: Path, vendor: str) -> None:
    double.auth, double.vendor, double.referrers = "none", vendor, False
    assert run("key", "generate", "release.key").code == 0
    assert run("sign", "churn:1.0", "--key", "release.key").code == 0
    assert run("push", "churn:1.0", "team", "--json").envelope["result"]["digest"] == digest
    assert run("tag", "team/churn:1.0", "live").code == 0
    (listed,) = run("list", "team", "--json").envelope["result"]["bundles"]
    assert (listed["digest"], listed["tags"]) == (digest, ["1.0", "live"])
    assert run("pull", "churn:live", "team").code == 0
    elsewhere = f"dir://{tmp_path}/elsewhere"
    (copied,) = run("copy", "team/churn:live", elsewhere, "--json").envelope["result"]["bundles"]
    assert (copied["digest"], copied["sentAttachments"]) == (digest, 1)
    verified = run("verify", f"{elsewhere}/churn:live", "--key", "release.pub", "--json").envelope["result"]
    assert verified["digest"] == digest


def test_promote_says_what_is_not_kept(run, double: Double, digest: str) -> None:
    double.auth = "none"
    assert run("push", "churn:1.0", "team").code == 0
    ended = run("promote", "team/churn:1.0", "prod")
    assert (ended.code, ended.out.splitlines()[-1]) == (
        0,
        "this registry does not keep who moved the tag, when and from where",
    )
    assert run("promote", "team/churn:1.0", "prod", "--json").envelope["result"]["remembered"] is False
    assert run("promote", "churn:1.0", "prod", "--json").envelope["result"]["remembered"] is True


def test_signatures_go_along(
    run, double: Double, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.auth = "none"
    run("key", "generate", "release.key")
    run("key", "generate", "other.key")
    run("sign", "churn:1.0", "--key", "release.key")
    assert run("push", "churn:1.0", "team", "--json").envelope["result"]["sentAttachments"] == 1
    assert run("verify", "team/churn:1.0", "--key", "release.pub").code == 0
    assert run("verify", "team/churn:1.0", "--key", "other.pub").code == 4
    assert run("sign", "team/churn:1.0", "--key", "other.key").code == 0
    assert run("verify", "team/churn:1.0", "--key", "other.pub").code == 0


def test_a_pull_comes_to_an_empty_project(
    run, double: Double, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.auth = "none"
    run("push", "churn:1.0", "team")
    (tmp_path / ".mlship").rename(tmp_path / "before")
    pulled = run("pull", "churn:1.0", "team", "--json").envelope["result"]
    assert (pulled["digest"], pulled["sentBlobs"]) == (digest, 8)
    assert run("verify", "churn:1.0").code == 0


@pytest.mark.parametrize("way", ["basic", "bearer"])
def test_a_wrong_password_is_not_kept(
    run, double: Double, docker: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.auth = way
    given(monkeypatch, "wrong-canary")
    refused = run("login", double.host, "--username", USER, "--password-stdin", "--debug")
    assert (refused.code, refused.out) == (5, "")
    assert "does not accept the credentials" in refused.err
    assert "wrong-canary" not in refused.err
    assert not docker.exists()


@pytest.mark.parametrize(
    ("words", "password", "why"),
    [
        (["-u", "ann"], "", "no terminal to ask for the password on. Add --password-stdin"),
        (["-u", "ann", "--password-stdin"], "", "there is no password"),
        (["-u", "ann", "--password-stdin"], "two\nlines\n", "there is no password"),
        (["-u", "a:b", "--password-stdin"], "x", "'a:b' cannot be a user's name"),
        (["--password-stdin"], "x", "who are you at 127.0.0.1"),
    ],
)
def test_what_login_needs(
    run, double: Double, words: list[str], password: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, password)
    ended = run("login", double.host, *words)
    assert (ended.code, ended.out) == (2, "")
    assert why in ended.err


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (
            "mlflow+https://mlflow.example.com/churn",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        ("s3://acme-models/team", "Run `aws sso login`"),
        ("azblob://acme/models", "Run `az login`"),
        ("dir:///srv/models", "A folder needs none"),
    ],
)
def test_who_one_is_elsewhere_is_said_elsewhere(run, url: str, hint: str) -> None:
    for words in (("login", url), ("logout", url)):
        ended = run(*words)
        assert ended.code == 2
        assert ended.err.startswith(
            f"error: credentials for {url.partition(':')[0].partition('+')[0]}:// are"
        )
        assert hint in ended.err


def test_a_registry_that_does_not_answer_has_a_time_limit(run, double: Double, digest: str) -> None:
    double.lie = lambda handler: double.released.wait(10)
    ended = run("push", "churn:1.0", "team", "--timeout", "0.5")
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.endswith("push took longer than 0.5 s. Give it more with --timeout\n")
