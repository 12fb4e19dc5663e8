"""Credentials in Docker's config.json and its helpers: found, kept, forgotten, and never shown."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from mlship.errors import ConfigError
from mlship.registry.oci import docker_config
from mlship.registry.oci.docker_config import Credentials, credentials_for, erase, store

HOST = "registry.example.com:5000"
CANARY = "pass:word-canary"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


def write(file: Path, value: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_nothing_is_kept(file: Path) -> None:
    assert credentials_for(HOST) is None
    assert not erase(HOST)
    assert not file.exists()


def test_kept_and_forgotten(file: Path) -> None:
    write(file, {"auths": {"other.example.com": {"auth": encoded("bob:x")}}, "proxies": {"default": {}}})
    assert store(HOST, "ann", CANARY) == str(file)
    assert credentials_for(HOST) == Credentials("ann", CANARY)
    assert credentials_for("registry.example.com") is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["proxies"] == {"default": {}}
    assert [path.name for path in file.parent.iterdir()] == ["config.json"]
    assert erase(HOST)
    assert credentials_for(HOST) is None
    assert credentials_for("other.example.com") == Credentials("bob", "x")


def test_a_link_stays_one(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.json"
    real.write_text("{}")
    file.parent.mkdir()
    file.symlink_to(real)
    store(HOST, "ann", CANARY)
    assert file.is_symlink()
    assert HOST in json.loads(real.read_text())["auths"]


@pytest.mark.parametrize(
    ("key", "host"),
    [
        (HOST, HOST),
        (f"https://{HOST}", HOST),
        (f"https://{HOST}/v1/", HOST),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_keys_of_older_tools(file: Path, key: str, host: str) -> None:
    write(file, {"auths": {key: {"auth": encoded("ann:a:b")}}})
    assert credentials_for(host) == Credentials("ann", "a:b")
    assert erase(host)
    assert credentials_for(host) is None


def test_tokens_in_place_of_a_password(file: Path) -> None:
    write(
        file, {"auths": {HOST: {"auth": encoded("ann:"), "identitytoken": "i"}, "b": {"registrytoken": "r"}}}
    )
    assert credentials_for(HOST) == Credentials(identity="i")
    assert credentials_for("b") == Credentials(bearer="r")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("{" + CANARY, "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it is not an object"),
        ({"auths": []}, "its auths are no object"),
        ({"auths": {HOST: CANARY}}, "is no object"),
        ({"auths": {HOST: {"auth": CANARY}}}, "cannot be decoded"),
        ({"auths": {HOST: {"auth": encoded("canary")}}}, "cannot be decoded"),
    ],
)
def test_a_broken_file_is_named_and_not_shown(file: Path, value: object, why: str) -> None:
    write(file, value)
    with pytest.raises(ConfigError, match=why) as caught:
        credentials_for(HOST)
    assert "canary" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_credentials_are_not_shown_by_accident() -> None:
    shown = repr(Credentials("ann", CANARY, CANARY, CANARY))
    assert "canary" not in shown
    assert "ann" in shown


HELPER = """#!/bin/sh
printf '%s' "$*" >> "$KEPT/arguments"
case $1 in
  get) read -r server
       cat "$KEPT/secret" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; };;
  store) cat > "$KEPT/secret";;
  erase) rm -f "$KEPT/secret";;
esac
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A helper called `tests`; the folder where it keeps things."""
    kept = tmp_path / "kept"
    kept.mkdir()
    program = tmp_path / "bin" / "docker-credential-tests"
    program.parent.mkdir()
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("KEPT", str(kept))
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return kept


@pytest.mark.parametrize("config", [{"credsStore": "tests"}, {"credHelpers": {HOST: "tests"}}])
def test_a_helper_keeps_it(file: Path, helper: Path, config: dict[str, object]) -> None:
    write(file, config)
    assert credentials_for(HOST) is None
    assert store(HOST, "ann", CANARY) == "docker-credential-tests"
    assert credentials_for(HOST) == Credentials("ann", CANARY)
    assert erase(HOST)
    assert credentials_for(HOST) is None
    assert json.loads(file.read_text()) == config
    assert "canary" not in (helper / "arguments").read_text()


def test_a_helper_of_one_host_is_not_asked_for_others(file: Path, helper: Path) -> None:
    write(file, {"credHelpers": {"other.example.com": "tests"}, "auths": {HOST: {"auth": encoded("ann:x")}}})
    assert credentials_for(HOST) == Credentials("ann", "x")
    assert not (helper / "arguments").exists()


def test_a_helper_may_hold_a_token(file: Path, helper: Path) -> None:
    write(file, {"credsStore": "tests"})
    (helper / "secret").write_text(json.dumps({"Username": "<token>", "Secret": CANARY}))
    assert credentials_for(HOST) == Credentials(identity=CANARY)


@pytest.mark.parametrize(
    "answer", ["", "canary", "[]", '{"Username": "canary"}', '{"Username": 1, "Secret": "canary"}']
)
def test_a_helper_that_answers_nonsense(file: Path, helper: Path, answer: str) -> None:
    write(file, {"credsStore": "tests"})
    (helper / "secret").write_text(answer)
    with pytest.raises(ConfigError, match="docker-credential-tests get failed") as caught:
        credentials_for(HOST)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["../tests", "tests; id", "", "-x", "a/b", "x" * 65])
def test_names_of_helpers_are_checked(file: Path, helper: Path, name: str) -> None:
    write(file, {"credsStore": name, "auths": {HOST: {"auth": encoded("ann:x")}}})
    if not name:
        assert credentials_for(HOST) == Credentials("ann", "x")
        return
    with pytest.raises(ConfigError, match="cannot name a credential helper"):
        credentials_for(HOST)
    assert not (helper / "arguments").exists()


def test_a_helper_that_is_not_there(file: Path) -> None:
    write(file, {"credsStore": "nowhere-to-be-found"})
    with pytest.raises(ConfigError, match="docker-credential-nowhere-to-be-found is not there"):
        credentials_for(HOST)


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert docker_config.config_file() == tmp_path / ".docker" / "config.json"
