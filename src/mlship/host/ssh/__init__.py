"""A machine that is reached by SSH, through paramiko or the OpenSSH client."""

from mlship.host.ssh.address import Address
from mlship.host.ssh.machine import SshHost

__all__ = ["Address", "SshHost"]
