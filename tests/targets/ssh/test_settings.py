"""The settings of an `ssh` target."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlship.errors import ConfigError
from mlship.target.hosted_settings import HostedSettings
from mlship.target.loader import load_adapter
from mlship.target.protocol import Place
from mlship_ssh.settings import SshSettings

EXAMPLE = Path(__file__).parents[3] / "targets/ssh/example.toml"


def bound(tmp_path: Path, **settings: Any) -> Any:
    return load_adapter("ssh", Place(name="prod", service="churn", settings=settings, data=tmp_path))


def test_the_example_shows_every_setting_of_its_own() -> None:
    shown = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))["targets"]["prod"]
    own = {field.name for field in msgspec.structs.fields(SshSettings)}
    own -= {field.name for field in msgspec.structs.fields(HostedSettings)}
    assert own | {"type"} <= set(shown)
    del shown["type"]
    assert msgspec.convert(shown, SshSettings).hosts == shown["hosts"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "hosts"),
        ({"hosts": []}, "hosts"),
        ({"hosts": ["-oProxyCommand=id"]}, "is no address"),
        ({"hosts": ["a@b", "c", "a@b"]}, "has the host a@b twice"),
        ({"hosts": ["here"], "wave": 0}, "wave"),
        ({"hosts": ["here"], "client": "putty"}, "putty"),
        ({"hosts": ["here"], "key": "/no/such/key"}, "there is no key"),
        ({"hosts": ["here"], "hots": []}, "no setting 'hots'"),
    ],
)
def test_settings_that_are_wrong_are_told(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        bound(tmp_path, **settings)
    assert says in str(refused.value) + refused.value.cause


def test_a_machine_that_nobody_knows_is_not_called(tmp_path: Path) -> None:
    for client in ("openssh", "paramiko"):
        adapter = bound(tmp_path, hosts=["nobody.invalid"], client=client)
        with pytest.raises(Exception, match="is not known") as refused:
            adapter.observe()
        assert "mlship target trust prod" in refused.value.fix  # type: ignore[attr-defined]
