"""The machines of a target, by the keys with which they prove who they are."""

from __future__ import annotations

from typing import Literal, Protocol

from mlship.result import Result
from mlship.target.protocol import Adapter

State = Literal["pinned", "known", "new", "changed"]


class HostKey(Result, frozen=True, kw_only=True):
    """`kind` and `fingerprint` are those that ssh-keygen -l shows, `key` is the line of a .pub file."""

    kind: str
    fingerprint: str
    key: str

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


class Machine(Result, frozen=True, kw_only=True):
    """`shown` are the keys that it shows now, `known` those that count for it: pinned by the project, or
    known to the user. `state` is "changed" if it shows another key than the one that counts."""

    address: str
    state: State
    shown: tuple[HostKey, ...]
    known: tuple[HostKey, ...]


class Keyed(Adapter, Protocol):
    """An adapter that offers "trust": its machines have keys, and a file of the project pins them."""

    def machines(self) -> tuple[Machine, ...]:
        """Each of them, asked for its keys; nothing else is asked of it, and nothing changed."""
        ...

    def pin(self, machine: Machine, keys: tuple[HostKey, ...]) -> str:
        """Let `keys` be those of `machine` from now on; the path of the file that says so."""
        ...


def state_of(shown: tuple[HostKey, ...], known: tuple[HostKey, ...], *, pinned: bool) -> State:
    """How what a machine shows and what counts for it go together. Two keys of one kind may count, as while
    they are exchanged; one of a kind that does not count is no alarm, one in place of another is."""
    if not known:
        return "new"
    counting = {key.key for key in known}
    strange = {key.kind for key in shown if key.key not in counting}
    if strange & {key.kind for key in known} or not any(key.key in counting for key in shown):
        return "changed"
    return "pinned" if pinned else "known"
