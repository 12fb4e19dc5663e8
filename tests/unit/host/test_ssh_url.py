"""`ssh://` URLs: what they say, which are none, and what is missing when one is opened."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mlship.errors import ConfigError, RegistryError, UsageError
from mlship.host.ssh.address import Address
from mlship.host.ssh.url import SshUrl, open_store
from mlship.registry import open_registry


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("ssh://h/srv/models", SshUrl(Address("h"), "/srv/models")),
        ("ssh://u@h:2222/srv/a b/", SshUrl(Address("h", "u", 2222), "/srv/a b")),
        ("ssh://[::1]:22/x", SshUrl(Address("::1", None, 22), "/x")),
        ("ssh://h/~/models", SshUrl(Address("h"), "~/models")),
        (
            "ssh://h/x?client=openssh&key=~/.ssh/id&known_hosts=/p/known_hosts&python=/opt/python3",
            SshUrl(Address("h"), "/x", "openssh", "~/.ssh/id", "/p/known_hosts", "/opt/python3"),
        ),
    ],
)
def test_parts(url: str, read: SshUrl) -> None:
    assert SshUrl.read(url) == read
    assert SshUrl.read(str(read)) == read


@pytest.mark.parametrize(
    "url",
    [
        "ssh://h", "ssh://h/", "ssh:///srv", "ssh://h/a//b", "ssh://h/../etc", "ssh://h/~", "ssh://h/~root/x",
        "ssh://h/a\0b", "ssh://-oProxyCommand=x/a", "ssh://u:secret@h/a", "ssh://h/x?password=1",
        "ssh://h/x?client=putty", "dir:///x",
    ],
)  # fmt: skip
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of a folder on a machine") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no key"):
        open_store(f"ssh://h/x?key={tmp_path}/none")


@pytest.mark.parametrize("client", ["paramiko", "openssh"])
def test_a_machine_that_nobody_knows(client: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    registry = open_registry(f"ssh://model1.invalid:2200/srv/models?client={client}")
    with pytest.raises(RegistryError) as caught:
        registry.names()
    assert str(caught.value) == (
        "the machine model1.invalid:2200 is not known: no key is pinned for it. "
        "Run ssh ssh://model1.invalid:2200, compare the fingerprint, and pin it"
    )


def test_without_paramiko(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "mlship.host.ssh.by_paramiko.find_spec", lambda name: None if name == "paramiko" else real(name)
    )
    with pytest.raises(RegistryError, match=r"pip install 'mlship-toolchain\[ssh\]'") as caught:
        open_registry("ssh://h/x?client=paramiko").names()
    assert "\n" not in str(caught.value)
