"""Docker engines that run for the tests alone, and their base image: the root file system of the hosts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_images import CONFIG, LAYER, MANIFEST, BaseLayout

from mlship.target.loader import load_adapter
from mlship.target.protocol import Place

IMAGE = "debian-host"
_BOOT = 120.0  # seconds


def image_file() -> Path:
    """The root file system that `make testbed` puts into the tests' cache."""
    kept = os.environ.get("MLSHIP_TEST_CACHE") or Path.home() / ".cache" / "mlship-tests"
    return Path(kept, "debian-host.tar")


def can_run() -> bool:
    tools = ("dockerd", "docker", "ssh-keygen", "ip")
    return os.geteuid() == 0 and image_file().is_file() and all(shutil.which(name) for name in tools)


@dataclass
class Engine:
    """A Docker engine with its data in `folder`, one network, and no hand on the firewall."""

    folder: Path
    network: str = "hosts"
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/socket"

    def docker(self, *words: str, given: bytes = b"", check: bool = True) -> str:
        command = ["docker", "--host", self.url, *words]
        done = subprocess.run(command, input=given, capture_output=True, timeout=300)
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stderr.decode()}"
        return done.stdout.decode()

    def start(self) -> None:
        """Start it, with a network."""
        self.run()
        self._make_network()

    def run(self) -> None:
        """Start the process, and wait until it answers."""
        place, alone = str(self.folder), ["--bridge", "none", "--iptables=false", "--ip-masq=false"]
        roots = ["--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid"]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--host", self.url, *roots, *alone, *self.options], stdout=log, stderr=log
            )
        end = time.monotonic() + _BOOT
        while "Server Version" not in self.docker("info", check=False):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, "dockerd does not answer"
            time.sleep(0.1)

    def take_debian(self) -> None:
        """Have the hosts' root file system as IMAGE."""
        self.docker("import", str(image_file()), IMAGE)

    def stop(self) -> None:
        """End the process; its containers end with it."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(60)

    def _make_network(self) -> None:
        """In the first of 200 ranges in which this machine has no address yet."""
        known = subprocess.run(["ip", "-4", "address"], capture_output=True, text=True, check=True).stdout
        for number in (os.getpid() + step for step in range(200)):
            range_ = f"10.213.{number % 200}"
            if f" {range_}." in known:
                continue
            self.docker("network", "create", "--subnet", f"{range_}.0/24", self.network, check=False)
            if self.network in self.docker("network", "ls", "--format", "{{.Name}}").split():
                return
        raise AssertionError("no range of addresses is free")

    def end(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            self.run()
        if left := self.docker("ps", "-aq").split():
            self.docker("rm", "--force", *left)
        self.docker("network", "rm", self.network)
        self.stop()
        shutil.rmtree(self.folder)


def debian_base(folder: Path) -> BaseLayout:
    """The root file system that the hosts are made of, as an image in a layout; its bytes are not copied."""
    layout, file = BaseLayout(folder), image_file()
    with file.open("rb") as opened:
        digest = "sha256:" + hashlib.file_digest(opened, "sha256").hexdigest()
    layout.path(digest).symlink_to(file)
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest]}}
    layer = {"mediaType": LAYER, "digest": digest, "size": file.stat().st_size}
    said = layout.blob(json.dumps(config).encode(), CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": said, "layers": [layer]}
    layout.name(layout.blob(json.dumps(manifest).encode(), MANIFEST))
    return layout


@contextmanager
def own_engine(*options: str) -> Iterator[Engine]:
    """An engine for one test, or a few, without images; it may be stopped and started again."""
    engine = Engine(Path(tempfile.mkdtemp(prefix="mlship-engine-")), options=options)
    try:
        engine.start()
        yield engine
    finally:
        engine.end()


def made_for(engine: Engine, base: Path, home: Path, /, **changed: Any) -> Iterator[Callable[..., Any]]:
    """What makes adapters for the service `conform` on `engine`; their connections are closed afterwards."""
    opened: list[Any] = []
    settings = {
        "base": str(base),
        "engine": engine.url,
        "network": engine.network,
        "ready_timeout": 60.0,
        "drain_timeout": 5.0,
        "bake": 0.0,
        **changed,
    }

    def make(**other: Any) -> Any:
        place = Place(name="kit", service="conform", settings={**settings, **other}, data=home)
        opened.append(load_adapter("docker", place))
        return opened[-1]

    yield make
    for adapter in opened:
        adapter.engine.close()
