"""The plug is pulled anywhere in a registry's life: what was acknowledged is there, what is seen is whole.

Every fsync is needed: with any one of them left out, some state shows damage.
"""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from power_cut import SYNCS, State, read_state, recorded, states_of, write_state
from sample_bundle import make_bundle
from sample_kills import Streaming, all_named
from sampling import Some

from mlship.bundle.exchange.export import new_file
from mlship.bundle.open import open_bundle
from mlship.errors import MlshipError
from mlship.host.local import LocalHost
from mlship.reference import Reference
from mlship.registry.collect import collect
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy, move_tag
from mlship.store.folder import FolderStore
from mlship_runtime.bundle.extract import extract_layer
from mlship_runtime.bundle.manifest import read_manifest
from mlship_runtime.bundle.verify import verify_layer
from mlship_runtime.errors import RuntimeFault
from mlship_runtime.files import make_folder, read_json, write_json
from mlship_runtime.store import disk
from mlship_runtime.store.session import Session
from mlship_runtime.store.upload import PIECE

pytestmark = pytest.mark.faults

Step = Callable[[Path], object]
Look = Callable[[Path], dict[str, Any]]


class NothingDone(Exception):
    """There was nothing to do, which is an error to who asked for it: nothing is acknowledged."""


class OfRegistry:
    """The life of a registry, and of a project's own."""

    def __init__(self, source: StoreRegistry) -> None:
        self.source = source
        self.first, self.second, self.third = (make_bundle(source, model=b"%d" % n) for n in range(3))
        source.attach("churn", self.second, "application/x", b"signed")
        self.steps: tuple[Step, ...] = (
            self.push,
            self.push_files,
            self.take_what_lies_here,
            self.pull,
            self.promote,
            self.untag,
            self.collect,
        )

    def push(self, root: Path) -> None:
        source: Any = Streaming(self.source)
        copy(source, registry_in(root), "churn", self.first, tag="1.0")

    def push_files(self, root: Path) -> None:
        copy(self.source, registry_in(root), "churn", self.second, tag="1.0")

    def take_what_lies_here(self, root: Path) -> None:
        """A layer that was just written, and that nobody has brought to the disk."""
        blob = read_manifest(self.source.read_manifest("churn", self.third)).layers[0]
        registry = registry_in(root)
        if not registry.has_blob("churn", blob.digest):
            data = b"".join(self.source.read_blob("churn", blob.digest, blob.size))
            registry.adopt_blob("churn", blob.digest, blob.size, just_written(root / "layer", data))
        copy(self.source, registry, "churn", self.third, tag="2.0")

    def pull(self, root: Path) -> None:
        own = open_folder(f"dir://{root}/own")
        copy(registry_in(root), own, "churn", self.second, tag="1.0", platforms=("linux/amd64",), partial=own)

    def promote(self, root: Path) -> None:
        registry = registry_in(root)
        move_tag(registry, "churn", "prod", self.second, registry.read_tag("churn", "prod"), "churn:1.0")

    def untag(self, root: Path) -> None:
        registry = registry_in(root)
        tagged = registry.read_tag("churn", "2.0")
        if tagged is None:
            raise NothingDone
        registry.delete_tag("churn", "2.0", tagged)

    def collect(self, root: Path) -> None:
        collect(registry_in(root))

    def look(self, root: Path) -> dict[str, Any]:
        """Tags with what is attached to what they name; everything visible is read."""
        return dict(all_named(root, ("registry", "own")))


class OfStore:
    """Each call of a Store, one after the other."""

    def __init__(self) -> None:
        self.steps: tuple[Step, ...] = (
            lambda root: store_in(root).write_if_absent("a/x", [b"1"]),
            self.upload,
            self.overtaken,
            self.without_links,
            lambda root: store_in(root).adopt("b/y", just_written(root / "file", b"4")),
            self.replace,
            lambda root: store_in(root).delete_if_match("a/x", version_of(root, "a/x")),
        )

    def upload(self, root: Path) -> None:
        """As a machine's far end does it, in two pieces."""
        with closing(Session()) as session:

            def ask(body: bytes = b"", **request: Any) -> dict[str, Any]:
                *_, (said, _) = session.answer({"id": 1, **request}, body)
                return said

            ask(do="open", root=str(root / "store"), url="ssh://h/store", host="h")
            begun = ask(do="begin", key="c/long")
            if "upload" in begun:
                for at, body in ((0, bytes(PIECE)), (PIECE, b"6")):
                    ask(body, do="piece", upload=begun["upload"], at=at)
                assert ask(do="commit", upload=begun["upload"], size=PIECE + 1)["ok"]

    def overtaken(self, root: Path) -> None:
        """By somebody who is killed between giving the value its name and waiting for the disk."""

        def chunks() -> Iterator[bytes]:
            yield b"2"
            if not (root / "store" / "a" / "two").exists():
                with disk.temporary(root / "store" / ".tmp", [b"2"]) as (made, _):
                    (root / "store" / "a" / "two").hardlink_to(made)

        store_in(root).write_if_absent("a/two", chunks())

    def without_links(self, root: Path) -> None:
        """On a file system that knows none."""

        def none(*_: object) -> None:
            raise OSError(errno.EPERM, "no links here")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "link", none)
            store_in(root).write_if_absent("b/x", [b"3"])

    def replace(self, root: Path) -> None:
        if version := version_of(root, "b/x"):
            store_in(root).write_if_match("b/x", b"5", version)

    def look(self, root: Path) -> dict[str, Any]:
        store = store_in(root)
        return {key: b"".join(store.read(key)) for key in store.list("")}


class OfHost:
    """What lies on a host: records, layers that were unpacked, files that were put or exported."""

    def __init__(self, source: StoreRegistry, sent: Path) -> None:
        bundle = open_bundle(source, Reference("churn", digest=make_bundle(source)))
        self.layer = next(layer for layer in bundle.manifest.layers if layer.role == "reduction")
        self.entries, self.sent = bundle.spec.files[self.layer.digest], sent
        sent.write_bytes(b"".join(bundle.blob(self.layer.digest)))
        self.steps: tuple[Step, ...] = (
            lambda root: make_folder(root / "services" / "churn"),
            lambda root: write_json(self.record(root), {"release": 1}),
            lambda root: write_json(self.record(root), {"release": 2}),
            lambda root: LocalHost().put(sent, str(root / "incoming" / "layer")),
            self.unpack,
            self.export,
        )

    def record(self, root: Path) -> Path:
        return root / "services" / "churn" / "record.json"

    def unpack(self, root: Path) -> None:
        make_folder(root / "layers")
        with self.sent.open("rb") as stream:
            extract_layer(stream, str(root / "layers" / "one"), self.entries, self.layer.digest)

    def export(self, root: Path) -> None:
        with new_file(root / "churn.tar") as file:
            file.write(b"exported")

    def look(self, root: Path) -> dict[str, Any]:
        """Everything under a final name is whole."""
        files = {name: root / name for name in ("incoming/layer", "churn.tar")}
        found: dict[str, Any] = {name: file.read_bytes() for name, file in files.items() if file.exists()}
        if (root / "layers" / "one").exists():
            verify_layer(str(root / "layers" / "one"), self.entries)
            found["layer"] = True
        return {**found, "service": self.record(root).parent.is_dir(), "record": read_json(self.record(root))}


def registry_in(root: Path) -> StoreRegistry:
    return open_folder(f"dir://{root}/registry")


def store_in(root: Path) -> FolderStore:
    return FolderStore(f"dir://{root}/store")


def version_of(root: Path, key: str) -> str:
    found = store_in(root).stat(key)
    return found.version if found else ""


def just_written(file: Path, data: bytes) -> Path:
    """A file for good, but not on the disk yet."""
    file.unlink(missing_ok=True)
    made = os.open(file, os.O_WRONLY | os.O_CREAT, 0o444)
    os.write(made, data)
    os.close(made)
    return file


class Lived:
    """A recorded life, the states that a power cut may leave of it, and what each step may rely on."""

    def __init__(self, root: Path, life: OfRegistry | OfStore | OfHost) -> None:
        root.mkdir()
        self.steps, self.look, self.expected = life.steps, life.look, [life.look(root)]
        self.good: set[tuple[int, str]] = set()
        self.scratch = root.with_name("scratch")
        with recorded(root) as self.record:
            for step in self.steps:
                step(root)
                self.expected.append(self.look(root))
                self.record.done()
        everything = self.record.state(len(self.record.events))
        assert everything.keys() == read_state(root).keys(), "not all is recorded"

    def cut(self, some: Some, without: str = "") -> int:
        """Cut the power anywhere; how many states that left."""
        seen = set()
        for done, upto in some.among(self.places(), cost=0.2):
            for state in states_of(self.record, upto, without):
                seen.add(self.check(done, state))
        return len(seen)

    def killed_and_cut(self, some: Some, without: str = "") -> int:
        """Kill each step anywhere, repeat it, and cut the power when the repeat is acknowledged; how many
        kills."""
        places = [(done, upto) for done, upto in self.places() if self.record.pending(upto, without)]
        chosen = some.among([place for place in places if place[0] < len(self.steps)], cost=0.5)
        for done, upto in chosen:
            root = write_state(self.record.state(upto), self.scratch)
            with recorded(root, self.record, upto) as record:
                acknowledged = self.repeat(done, root)
            for state in states_of(record, len(record.events), without):
                self.check(done + acknowledged, state)
        return len(chosen)

    def repeat(self, done: int, root: Path) -> bool:
        """Whether it was acknowledged."""
        try:
            self.steps[done](root)
        except NothingDone:
            return False
        return True

    def places(self) -> list[tuple[int, int]]:
        """How many steps were acknowledged, and how much had happened."""
        done = accumulate(event.kind == "done" for event in self.record.events)
        return [(count, upto) for upto, count in enumerate(done, 1)]

    def check(self, done: int, state: State) -> tuple[int, str]:
        """What was acknowledged is there, what is visible is whole, and the broken step can be repeated."""
        seen = (done, repr({path: data for path, data in state.items() if "/.tmp/" not in path}))
        if seen in self.good:
            return seen
        root = write_state(state, self.scratch)
        before, after = (self.expected[min(done + more, len(self.steps))] for more in (0, 1))
        found = self.look(root)
        for name in before | after | found:
            assert found.get(name) in (before.get(name), after.get(name)), name
        if done < len(self.steps):
            self.repeat(done, root)
            assert self.look(root) == after
        self.good.add(seen)
        return seen


@pytest.fixture(scope="module")
def lives(memory: Path) -> Iterator[list[Lived]]:
    """Nobody who was cut off gives a sign of life."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlship.registry.intents.PATIENCE", 0.02)
        patch.setattr("mlship.registry.collect._PAUSE", 0.005)
        source = open_folder(f"dir://{memory}/source")
        lives = {"store": OfStore(), "host": OfHost(source, memory / "sent"), "registry": OfRegistry(source)}
        yield [Lived(memory / f"of-{name}", life) for name, life in lives.items()]


def test_anywhere(lives: list[Lived], some: Some) -> None:
    states = sum(life.cut(some) for life in lives)
    print(f"{states} states")
    assert states > some.of(100, cost=0.5)


def test_what_a_killed_writer_left_lasts_once_somebody_relies_on_it(lives: list[Lived], some: Some) -> None:
    kills = sum(life.killed_and_cut(some) for life in lives)
    print(f"{kills} kills")
    assert kills > some.of(100, cost=0.5)


def test_what_a_tag_names_lasts(lives: list[Lived], some: Some) -> None:
    """Also where the push of it was killed, and the tag is somebody else's."""
    life, pushed = lives[-1], 0
    for _, upto in some.among([place for place in life.places() if place[0] == 0], cost=0.5):
        root = write_state(life.record.state(upto), life.scratch)
        found = registry_in(root).digests("churn")
        if not found or not life.record.pending(upto):
            continue
        pushed += 1
        with recorded(root, life.record, upto) as record:
            registry_in(root).set_tag("churn", "other", found[0], None)
        for state in states_of(record, len(record.events)):
            named = life.look(write_state(state, life.scratch))
            assert named["registry/other"] == (found[0], []), upto
    assert pushed or some.most


def places_that_wait(name: str) -> list[str]:
    """The calls in a module that wait for the disk."""
    module = Path(import_module(name).__file__ or "")
    found: set[str] = set()
    functions = [
        node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.FunctionDef)
    ]
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and function.name not in SYNCS:
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if called in (*SYNCS, "fsync"):
                    found.add(f"{module.name}:{node.lineno}")
    return sorted(found)


ALL = Some(0, "")
MODULES = (
    "mlship_runtime.store.disk",
    "mlship_runtime.store.folder",
    "mlship_runtime.store.upload",
    "mlship.host.local",
    "mlship.bundle.exchange.export",
    "mlship_runtime.files",
    "mlship_runtime.bundle.extract",
)
SITES = [site for name in MODULES for site in places_that_wait(name)]


@pytest.mark.parametrize("site", SITES)
def test_without_one_fsync_something_is_lost(lives: list[Lived], site: str) -> None:
    def everything() -> None:
        for life in lives:
            life.cut(ALL, site)
            life.killed_and_cut(ALL, site)

    with pytest.raises((AssertionError, MlshipError, RuntimeFault)):
        everything()
