"""What goes wrong on the way to a machine, said in one line each."""

from __future__ import annotations

from mlship.errors import TargetError
from mlship.host.protocol import Lost
from mlship.host.ssh.address import Access


def not_known(access: Access) -> TargetError:
    return TargetError(
        f"the machine {access.address} is not known",
        cause="no key is pinned for it",
        fix=f"Run mlship target trust {access.target}, compare the fingerprint, and pin it",
    )


def changed_key(access: Access) -> TargetError:
    return TargetError(
        f"the machine that answers at {access.address} is not the one that was pinned",
        cause="its host key is another: it was set up anew, or somebody stands between",
        fix=f"Ask who runs it. If it is right: mlship target trust {access.target}",
    )


def not_let_in(access: Access, cause: str = "") -> TargetError:
    return TargetError(
        f"{access.address} lets nobody in with the keys at hand",
        cause=cause or "the key, the certificate or the user is not accepted there",
        fix="Add the key there, name the right one (`key`), or load it: ssh-add",
    )


def unreachable(access: Access, cause: str) -> Lost:
    return Lost(
        f"{access.address} cannot be reached",
        cause=cause,
        fix="Look at its address, its network and its sshd",
    )


def lost(access: Access, cause: str = "") -> Lost:
    return Lost(
        f"the connection to {access.address} broke",
        cause=cause or "it, its sshd or the network went away",
        fix="Run the same command again: what was sent stays",
    )


def said_by_ssh(access: Access, text: str) -> TargetError:
    """The error for what the OpenSSH client wrote when it could not open the connection."""
    if "Host key verification failed" in text:
        return changed_key(access)
    lines = [line for line in text.strip().splitlines() if line.strip()] or ["ssh said nothing"]
    if any("Permission denied" in line for line in lines):
        return not_let_in(access)
    return unreachable(access, lines[-1])
