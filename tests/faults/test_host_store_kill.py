"""The far end of a store on a host is killed at every call that changes something: what lies there is as
before or as after, who asks again gets the right answer, and a repeat completes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import kill_points
import pytest
from sampling import Some

from mlship.errors import RegistryError
from mlship.host.child import ChildProcess
from mlship.host.local import LocalHost
from mlship.host.store import HostStore
from mlship.store.asking import Patience
from mlship.store.folder import FolderStore
from mlship_runtime.store.folder import version_of

pytestmark = pytest.mark.faults

LONG = os.urandom((1 << 20) + 17)
ARMED = f"""
import sys
sys.path[:0] = [{str(Path(kill_points.__file__).parent)!r}, {str(Path(__file__).parents[2] / "src")!r}]
from kill_points import arm
from mlship_runtime.store.session import main
arm(int(sys.argv[1]))
main()
"""
BEGUN = 2  # calls: its first words, and the answer to `open`
KEPT, OLD = {"old": b"old"}, version_of(b"old")
Change = Callable[[HostStore], object]


def long() -> Iterator[bytes]:
    yield LONG[:1000]
    yield LONG[1000:]


CHANGES: dict[str, tuple[Change, object, dict[str, bytes]]] = {
    "write": (lambda store: store.write_if_absent("a/new", [b"1"]), True, {**KEPT, "a/new": b"1"}),
    "swap": (lambda store: store.write_if_match("old", b"2", OLD), version_of(b"2"), {"old": b"2"}),
    "delete": (lambda store: store.delete_if_match("old", OLD), True, {}),
    "upload": (lambda store: store.write_if_absent("a/new", long()), None, {**KEPT, "a/new": LONG}),
}


class Machine(LocalHost):
    """Its first process is killed at its `point`-th call, if it comes to it."""

    def __init__(self, point: int) -> None:
        self.point, self.started = point, 0

    def start(self, argv: Sequence[str]) -> ChildProcess:
        self.started += 1
        return super().start([sys.executable, "-c", ARMED, str(self.point)] if self.started == 1 else argv)


@pytest.mark.kinds("change")
@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_killed_anywhere(tmp_path: Path, some: Some, change: str, goes_on: bool) -> None:
    do, said, after = CHANGES[change]
    patience = Patience(attempts=4 if goes_on else 1, pause=0.01)
    point, kills, survived = BEGUN + some.stride(), 0, False
    while not survived:
        folder = tmp_path / str(point)
        there = FolderStore(f"dir://{folder}/store")
        there.write_if_absent("old", [b"old"])
        machine = Machine(point)
        store = HostStore(machine, f"{folder}/store", "ssh://here/store", sys.executable, patience)
        try:
            answer = do(store)
        except RegistryError:
            assert not goes_on
            assert content(there) in (KEPT, after)
            do(store)
        else:
            assert said in (answer, None)
            survived = machine.started == 1
        assert content(there) == after
        assert machine.started == 2 - survived
        store.close()
        point, kills = point + some.stride(), kills + (not survived)
    print(f"{kills} kills")
    assert kills > 3 or some.most


def content(store: FolderStore) -> dict[str, bytes]:
    return {key: b"".join(store.read(key)) for key in store.list("")}
