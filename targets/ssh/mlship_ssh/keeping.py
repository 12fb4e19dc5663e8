"""The ledger of a target, in the base folder of its first machine: whoever can get in there sees the same."""

from __future__ import annotations

from mlship.errors import TargetError
from mlship.host.site import Site
from mlship.host.ssh import Address
from mlship.host.ssh.url import SshUrl
from mlship.host.store import HostStore
from mlship.store.protocol import Store
from mlship.target.protocol import Place
from mlship_ssh.reaching import pinned_in
from mlship_ssh.settings import SshSettings

_NAME = "ledger"
# `-c CLEAR BASE LEDGER`: removes LEDGER if no value is in it, and BASE if nothing else is; what somebody has
# locked stays.
CLEAR = """
import contextlib, fcntl, os, sys
base, ledger = sys.argv[1:]
held = os.path.join(ledger, ".lock")
with contextlib.suppress(FileNotFoundError, NotADirectoryError):
    file = os.open(held, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit()
unfinished = os.path.join(ledger, ".tmp")
found = [os.path.join(folder, name) for folder, _, names in os.walk(ledger) for name in names]
if not [path for path in found if path != held and not path.startswith(unfinished + os.sep)]:
    for path in found:
        os.unlink(path)
    for folder, _, _ in os.walk(ledger, topdown=False):
        os.rmdir(folder)
    with contextlib.suppress(OSError):
        os.rmdir(base)
"""


def url_of(place: Place, settings: SshSettings, address: Address, base: str) -> str:
    """The URL by which other commands find the same store."""
    known, key = pinned_in(place, settings), settings.key_file()
    return str(
        SshUrl(
            address,
            f"{base}/{_NAME}",
            client=settings.client,
            key=str(key or ""),
            known_hosts=str(known) if known.exists() else "",
            python=settings.python,
        )
    )


def store_in(site: Site, address: Address) -> Store:
    """The store in the base folder, over the connection to it. Its name does not depend on how one gets
    in: by it this machine knows which policies it has seen."""
    folder = f"{site.base}/{_NAME}"
    return HostStore(site.host, folder, str(SshUrl(address, folder)), site.python, private=site.base)


def clear(site: Site) -> None:
    """Remove what an erased ledger has left there. Raises TargetError."""
    words = [site.python, "-I", "-S", "-c", CLEAR, site.base, f"{site.base}/{_NAME}"]
    done = site.host.run(words, timeout=60)
    if done.code:
        said = done.err.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise TargetError(f"{site.base} on {site.host.name} cannot be cleared", cause=said[-1])
