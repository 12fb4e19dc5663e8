"""The settings of a `docker` target, and the engine that they name."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlship.errors import ConfigError
from mlship.target.loader import load_adapter
from mlship.target.protocol import Place
from mlship_docker.finding import USUAL, EngineAddress, find_engine
from mlship_docker.settings import DockerSettings

EXAMPLE = Path(__file__).parents[3] / "targets/docker/example.toml"


def place(tmp_path: Path, **settings: Any) -> Place:
    chosen = {"base": "./base", **settings}
    return Place(name="prod", service="churn", settings=chosen, data=tmp_path, project=tmp_path)


def found(tmp_path: Path, environment: dict[str, str], **settings: Any) -> EngineAddress:
    asked = place(tmp_path, **settings)
    return find_engine(asked, msgspec.convert(dict(asked.settings), DockerSettings), environment)


def test_the_example_shows_every_setting() -> None:
    shown = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))["targets"]["engine"]
    assert set(shown) == {field.name for field in msgspec.structs.fields(DockerSettings)} - {"external"} | {
        "type"
    }
    del shown["type"]
    assert msgspec.convert(shown, DockerSettings).base == shown["base"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"base": ""}, "base"),
        ({"workers": 0}, "workers"),
        ({"memory": "1 MB"}, "no release starts in less"),
        ({"restart": "sometimes"}, "sometimes"),
        ({"engine": "ssh://a", "context": "b"}, "`engine` and `context`"),
        ({"engine": "model1:2375"}, "is no address of an engine"),
        ({"engine": "ssh://"}, "is no address of an engine"),
        ({"engine": "unix://"}, "is no address of an engine"),
        ({"engine": "tcp://model1:2375"}, "without TLS"),
        ({"context": "nowhere"}, "which is not here"),
        ({"external": {"port": 8443}}, "no external listener"),
        ({"engin": "unix:///x"}, "no setting 'engin'"),
    ],
)
def test_settings_that_are_wrong_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], says: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError) as refused:
        load_adapter("docker", place(tmp_path, **settings))
    assert says in str(refused.value) + refused.value.cause


def test_the_targets_own_goes_before_what_the_environment_says(tmp_path: Path) -> None:
    said = {"DOCKER_HOST": "unix:///from/environment", "DOCKER_CONTEXT": "nowhere"}
    assert found(tmp_path, said, engine="ssh://me@there:2222").url == "ssh://me@there:2222"
    assert found(tmp_path, said).url == "unix:///from/environment"
    assert found(tmp_path, {}).url == USUAL
    assert found(tmp_path, {"DOCKER_CONTEXT": "default"}).url == USUAL


def test_certificates_are_taken_from_where_docker_takes_them(tmp_path: Path) -> None:
    said = {"DOCKER_HOST": "tcp://there:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
    address = found(tmp_path, said)
    assert (address.certificates, address.verify, address.machine) == ("/certs", True, "there")
    own = found(tmp_path, {}, engine="tcp://there:2376", certificates="certs")
    assert own.file("ca.pem") == str(tmp_path / "certs" / "ca.pem")
    with pytest.raises(ConfigError, match="without TLS"):
        found(tmp_path, {"DOCKER_HOST": "tcp://there:2375"})


def test_contexts_are_read_as_docker_writes_them(tmp_path: Path) -> None:
    said, mark = {"DOCKER_CONFIG": str(tmp_path)}, hashlib.sha256(b"far").hexdigest()
    folder = tmp_path / "contexts" / "meta" / mark
    folder.mkdir(parents=True)
    endpoint = {"Host": "tcp://there:2376", "SkipTLSVerify": False}
    (folder / "meta.json").write_text(json.dumps({"Name": "far", "Endpoints": {"docker": endpoint}}))
    with pytest.raises(ConfigError, match="without TLS"):
        found(tmp_path, said, context="far")
    certificates = tmp_path / "contexts" / "tls" / mark / "docker"
    certificates.mkdir(parents=True)
    assert found(tmp_path, said, context="far").certificates == str(certificates)
    assert found(tmp_path, {**said, "DOCKER_CONTEXT": "far"}).url == "tcp://there:2376"
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "far"}))
    assert found(tmp_path, said).url == "tcp://there:2376"
    (folder / "meta.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        found(tmp_path, said, context="far")


def test_an_engine_elsewhere_needs_a_ledger(tmp_path: Path) -> None:
    far = load_adapter("docker", place(tmp_path, engine="ssh://me@there"))
    with pytest.raises(ConfigError, match="has no `ledger`"):
        far.ledger_url()
    assert load_adapter("docker", place(tmp_path, engine="unix:///x")).ledger_url().startswith("dir://")


def test_values_of_the_environment_stay_out_of_a_release() -> None:
    settings = DockerSettings(base="x", environment={"TOKEN": "hidden"})
    assert "hidden" not in json.dumps(settings.of_release())
    assert settings.of_release()["environment"] == ["TOKEN"]
    other = DockerSettings(base="x", environment={"TOKEN": "other"})
    assert settings.of_release() != other.of_release()
