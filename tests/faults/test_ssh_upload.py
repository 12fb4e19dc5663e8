"""sshd killed in the middle of an upload, at many offsets: the next try goes on with what is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sampling import Some
from ssh_server import SshServer, ssh_server

from mlship.host.protocol import Lost
from mlship.host.ssh import SshHost
from mlship.host.ssh.by_openssh import OpenSshWire
from mlship.host.ssh.by_paramiko import ParamikoWire

pytestmark = [pytest.mark.faults, pytest.mark.server, pytest.mark.timeout(900)]

SIZE = 20 << 20
ON_THE_WAY = 17 << 20  # what a connection may hold: the window of a channel, and pipes
OFFSETS = [1 + number * (SIZE - 2) // 19 for number in range(20)]
WIRES: dict[str, Any] = {"openssh": OpenSshWire, "paramiko": ParamikoWire}


class Counted:
    """A wire that counts what is sent, and kills the server when so many bytes were."""

    def __init__(self, wire: Any, server: SshServer, offset: int | None = None) -> None:
        self.wire, self.server, self.offset, self.sent = wire, server, offset, 0

    def start(self, command: str) -> Any:
        return _Counted(self.wire.start(command), self)

    def close(self) -> None:
        self.wire.close()


class _Counted:
    def __init__(self, process: Any, count: Counted) -> None:
        self._process, self._count = process, count

    def write(self, data: bytes) -> None:
        count = self._count
        if count.offset is not None and count.sent + len(data) > count.offset:
            count.sent, before = count.offset, data[: count.offset - count.sent]
            count.offset = None
            self._process.write(before)
            count.server.fall()
            data = data[len(before) :]
        self._process.write(data)
        count.sent += len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)


@pytest.mark.parametrize("client", sorted(WIRES))
def test_an_upload_goes_on_where_it_was_cut(tmp_path: Path, client: str, some: Some, require: Any) -> None:
    require("sshd")
    source, folder = tmp_path / "source", tmp_path / "sshd"
    folder.mkdir()
    source.write_bytes(os.urandom(SIZE))
    with ssh_server(folder) as server:
        for offset in some.among(OFFSETS, cost=4):
            target = tmp_path / f"target-{offset}"
            part = target.with_name(target.name + ".part")
            with pytest.raises(Lost):
                put(client, server, source, target, offset)
            assert not target.exists(), "it was really cut"
            there = part.stat().st_size if part.exists() else 0
            assert offset - there <= ON_THE_WAY
            server.start()
            sent = put(client, server, source, target, None)
            assert sent <= SIZE - there, "what is there is not sent again"
            assert target.read_bytes() == source.read_bytes()
            assert not part.exists()
            target.unlink()


def put(client: str, server: SshServer, source: Path, target: Path, offset: int | None) -> int:
    """How many bytes were sent."""
    access = server.access()
    wire = Counted(WIRES[client](access), server, offset)
    host = SshHost(wire, access)  # type: ignore[arg-type]
    try:
        host.put(source, str(target))
    finally:
        host.close()
    return wire.sent
