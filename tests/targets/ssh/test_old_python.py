"""Debian hosts whose `python3` is a real one of 2019: told before anything is done, on one host or on one of
two, with what to do; another interpreter that is there does it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from debian_service import Service
from tests.targets.local.test_onhost_pythons import other_python

from mlship.errors import TargetError
from mlship.target.conformance import Bundles, open_ledger

pytestmark = [pytest.mark.hosts, pytest.mark.server]

PUT = """
set -e
mkdir -p /opt/old
tar -C /opt/old -xf -
chmod -R go=rX /opt/old
echo /opt/old/lib > /etc/ld.so.conf.d/old.conf
ldconfig
ln -sf /opt/old/bin/python3.8 /usr/local/bin/python3
"""


@pytest.fixture
def old(debian: Any) -> Iterator[Any]:
    """The host `bare`, on which `python3` is Python 3.8 for as long as the test wants it."""
    home, host = Path(other_python("3.8")).parents[1], debian.host("bare")
    words = ["tar", "-C", str(home), "--exclude=test", "--exclude=__pycache__", "--exclude=*.a"]
    shared = [f"lib/{path.name}" for path in home.glob("lib/libpython3.8.so.1.0")]
    words += ["-c", "bin/python3.8", "lib/python3.8", *shared]
    packed = subprocess.run(words, capture_output=True, check=True)
    host.run("sh", "-c", PUT, given=packed.stdout)
    assert host.run("python3", "--version") == "Python 3.8.18\n"
    yield host
    host.run("rm", "-rf", "/opt/old", "/usr/local/bin/python3", "/etc/ld.so.conf.d/old.conf")


def test_the_only_host(old: Any, kit: tuple[str, Bundles], tmp_path: Path) -> None:
    service = Service(old, "guest", tmp_path)
    with pytest.raises(TargetError) as refused:
        service.deploy(kit[1].first)
    assert refused.value.exit_code == 6
    assert "needs Python 3.9 or newer on the host" in refused.value.cause
    assert "name it with `python` of the target" in refused.value.fix
    assert not old.run("find", "/home/guest", "-name", "*mlship*")
    assert service.deploy(kit[1].first, python="/usr/bin/python3").changed
    adapter = service.adapter(python="/usr/bin/python3")
    assert adapter.observe().healthy
    service.purge(python="/usr/bin/python3")


def test_one_of_two(debian: Any, old: Any, kit: tuple[str, Bundles], tmp_path: Path) -> None:
    """Which was younger when it was deployed to: what runs there is not touched."""
    two, first = Service(debian.host("systemd"), "guest", tmp_path, (old,)), kit[1].first
    old.run("mv", "/usr/local/bin/python3", "/opt/old/python3")
    two.deploy(first)
    with two.clients(first) as clients:
        old.run("mv", "/opt/old/python3", "/usr/local/bin/python3")
        entries = len(open_ledger(two.adapter()).entries())
        with pytest.raises(TargetError) as refused:
            two.deploy(kit[1].second)
        assert str(old.address_of("guest")) in str(refused.value)
        assert "is 3.8." in refused.value.cause
        assert len(open_ledger(two.adapter()).entries()) == entries
        seen = two.adapter().observe()
        assert [host.seen is not None for host in seen.hosts] == [True, False]
        assert "is 3.8." in seen.hosts[1].trouble
        old.run("mv", "/usr/local/bin/python3", "/opt/old/python3")
        clients.more()
    assert clients.failures == []
    assert clients.digests == {first.digest}
    two.deploy(kit[1].second)
    assert {host.seen.live.digest for host in two.adapter().observe().hosts} == {kit[1].second.digest}
    two.purge()
