"""Which client carries the commands to a machine."""

from __future__ import annotations

import shutil
from typing import Literal

from mlship.host.ssh.address import Access
from mlship.host.ssh.by_openssh import OpenSshWire
from mlship.host.ssh.by_paramiko import ParamikoWire
from mlship.host.ssh.wire import Wire

Client = Literal["auto", "openssh", "paramiko"]


def wire_by(client: Client, access: Access) -> Wire:
    """The wire of a client; auto is OpenSSH where it is installed, else paramiko."""
    if client == "auto":
        client = "openssh" if shutil.which("ssh") else "paramiko"
    return OpenSshWire(access) if client == "openssh" else ParamikoWire(access)
