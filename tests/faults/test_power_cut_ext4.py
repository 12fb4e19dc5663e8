"""A real file system loses its power at any moment: ext4 on a loop device, shut down without a flush."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sample_bundle import make_bundle
from sample_kills import all_named, in_child
from sampling import Some

from mlship.registry.collect import collect
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy, move_tag

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

CUTS = 200
SHUTDOWN, WITHOUT_FLUSH = 0x8004587D, (2).to_bytes(4, "little")
BUNDLES, STEP = 6, 0.1  # seconds that a step may take
TAGS, PLACES = ("1.0", "2.0", "prod"), ("registry", "own")


class Disk:
    """An ext4 of its own, mounted at `folder`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        with image.open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", image], check=True)
        folder.mkdir()
        self.mount()

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.folder], check=True)

    def cut(self) -> None:
        """Nothing that is not on the disk by now comes there."""
        root = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(root, SHUTDOWN, WITHOUT_FLUSH)
        finally:
            os.close(root)

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], check=True)


@pytest.fixture
def disk(require: Callable[[str], None], tmp_path: Path) -> Iterator[Disk]:
    require("ext4")
    disk = Disk(tmp_path / "image", tmp_path / "disk")
    yield disk
    with contextlib.suppress(subprocess.CalledProcessError):
        disk.unmount()


def next_step(
    chance: random.Random, root: Path, source: StoreRegistry, digests: list[str]
) -> tuple[dict[str, str], Callable[[], object]]:
    """Something that is to be done, and what tags it sets or removes ("") when it is."""
    registry, own = (open_folder(f"dir://{root}/{place}") for place in PLACES)
    verb, tag = chance.choice(("push", "push", "promote", "untag", "pull", "collect")), chance.choice(TAGS)
    tagged, there = registry.read_tag("churn", tag), registry.tags("churn")
    if verb == "push" or not there:
        digest = chance.choice(digests)
        return {f"registry/{tag}": digest}, lambda: copy(source, registry, "churn", digest, tag=tag)
    digest = chance.choice(sorted(there.values()))
    if verb == "promote":
        return {f"registry/{tag}": digest}, lambda: move_tag(registry, "churn", tag, digest, tagged, "here")
    if verb == "untag" and tagged:
        return {f"registry/{tag}": ""}, lambda: registry.delete_tag("churn", tag, tagged)
    if verb == "pull":
        return {"own/pulled": digest}, lambda: copy(registry, own, "churn", digest, tag="pulled")
    return {}, lambda: collect(registry)


def live(root: Path, source: StoreRegistry, digests: list[str], seed: int, said: Connection) -> None:
    """Do one thing after the other until the disk is gone, and say so before and after."""
    chance = random.Random(seed)
    while True:
        sets, work = next_step(chance, root, source, digests)
        said.send((sets, False))
        work()
        said.send((sets, True))


def heard_of(child: Connection, count: int = 1 << 30) -> list[tuple[dict[str, str], bool]]:
    """So many words of the child, or all that it has said before it died."""
    words = []
    with contextlib.suppress(EOFError):
        while len(words) < count:
            assert child.poll(60), "it does not go on"
            words.append(child.recv())
    return words


def test_any_moment(disk: Disk, some: Some, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlship.registry.intents.PATIENCE", 0.05)
    source = open_folder(f"dir://{tmp_path}/source")
    digests = [make_bundle(source, model=b"%d" % number) for number in range(BUNDLES)]
    chance, acknowledged, cuts = random.Random(4), 0, some.of(CUTS)
    named: dict[str, str] = {}
    for cut in range(cuts):
        hearing, said = Pipe(duplex=False)
        child = in_child(lambda: live(disk.folder, source, digests, cut, said))  # noqa: B023
        said.close()
        words = heard_of(hearing, chance.randint(1, 12))
        time.sleep(chance.random() * STEP)
        disk.cut()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        disk.unmount()
        disk.mount()
        sets: dict[str, str] = {}
        for sets, done in words + heard_of(hearing):
            if done:
                acknowledged += 1
                named.update(sets)
        found = {name: digest for name, (digest, _) in all_named(disk.folder, PLACES).items()}
        for name in named | sets | found:
            assert found.get(name, "") in (named.get(name, ""), sets.get(name, named.get(name, ""))), name
        named = found
    print(f"{cuts} cuts, {acknowledged} acknowledged steps")
    assert acknowledged > cuts
