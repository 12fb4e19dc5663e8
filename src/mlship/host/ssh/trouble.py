"""What goes wrong on the way to a machine, said in one line each."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from mlship.host.protocol import Lost, Unreached
from mlship.host.ssh.address import Access
from mlship.host.ssh.known_hosts import fingerprint, name_of


def not_known(access: Access) -> Unreached:
    return Unreached(
        f"the machine {access.address} is not known",
        cause="no key is pinned for it",
        fix=f"Run {_trust(access)}, compare the fingerprint, and pin it",
    )


def by_authority_only(access: Access) -> Unreached:
    return Unreached(
        f"the machine {access.address} is known by a certificate authority alone",
        cause="paramiko reads no certificates of machines",
        fix='Set client = "openssh"',
    )


def changed_key(access: Access, shown: str = "") -> Unreached:
    """`shown` is the fingerprint of the key that it showed."""
    counting = " or ".join(map(fingerprint, access.host_keys)) or "one that the known authority signed"
    return Unreached(
        f"the machine that answers at {access.address} is not the one that is known",
        cause=f"it shows the host key {shown or 'of another kind'}, not {counting}: it was set up anew, or "
        "somebody stands between",
        fix=f"Ask who runs it. If it is right: {_trust(access, anew=True)}",
    )


def _trust(access: Access, anew: bool = False) -> str:
    """The command that pins the key: where no target is meant, ssh's own list of known hosts counts."""
    if access.target:
        return f"mlship target trust {access.target}"
    return f"ssh-keygen -R '{name_of(access.address)}'" if anew else f"ssh ssh://{access.address}"


def not_let_in(access: Access) -> Unreached:
    if access.key and _has_passphrase(access.key):
        return Unreached(
            f"{access.address} lets nobody in with {access.key}",
            cause="it has a passphrase, which is not asked for here, and no agent opens it",
            fix=f"Load it: ssh-add {access.key}",
        )
    return Unreached(
        f"{access.address} lets nobody in with the keys at hand",
        cause="the key, the certificate or the user is not accepted there",
        fix="Add the key there, name the right one (`key`), or load it: ssh-add",
    )


def unreachable(access: Access, cause: str, *, unknown: bool = False) -> Lost:
    """`unknown`: its name is one that only ssh_config may know."""
    look = "Look at its address, its network and its sshd"
    config = 'Look at its address; names of ssh_config need client = "openssh"'
    return Lost(f"{access.address} cannot be reached", cause=cause, fix=config if unknown else look)


def lost(access: Access, cause: str = "") -> Lost:
    return Lost(
        f"the connection to {access.address} broke",
        cause=cause or "it, its sshd or the network went away",
        fix="Run the same command again: what was sent stays",
    )


def said_by_ssh(access: Access, text: str) -> Unreached:
    """The error for what the OpenSSH client wrote when it could not open the connection."""
    if "Host key verification failed" in text:
        shown = re.search(r"SHA256:[A-Za-z0-9+/]+", text)
        return changed_key(access, shown[0] if shown else "")
    lines = [line for line in text.strip().splitlines() if line.strip()] or ["ssh said nothing"]
    if any("Permission denied" in line for line in lines):
        return not_let_in(access)
    return unreachable(access, lines[-1])


def _has_passphrase(key: Path) -> bool:
    """OpenSSH's own form names a cipher, the older ones say so."""
    try:
        text = key.read_text(encoding="ascii")
        if "OPENSSH" not in text:
            return "ENCRYPTED" in text
        blob = base64.b64decode("".join(text.split("-----")[2].split()))
    except (OSError, ValueError, IndexError):
        return False
    return blob.startswith(b"openssh-key-v1\0") and not blob.startswith(b"openssh-key-v1\0\0\0\0\4none")
