"""An `ssh` target on this machine with one service on it, for faults: what runs stays for the next test."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssh_server import SshServer

from mlship.bundle.open import OpenBundle
from mlship.target.conformance import Bundles, deploy, open_ledger
from mlship.target.ledger import Ledger
from mlship.target.loader import load_adapter
from mlship.target.protocol import Place
from mlship.target.rollout import Rolled, Rollout

SERVICE = "conform"


@dataclass
class FarTarget:
    """`base` is where releases live; `folder` holds the project, the host keys it pins, and the ledger
    unless it is `kept` elsewhere."""

    server: SshServer
    base: Path
    folder: Path
    bundles: Bundles
    opened: list[Any] = field(default_factory=list)
    port: int = 0
    kept: Path | None = None
    _body: bytes = b""

    def adapter(self, **changed: Any) -> Any:
        """A new one, as a new command would have it."""
        self.pin(self.server.port)
        settings = {
            "hosts": [str(self.server.address)], "key": str(self.server.key), "client": "openssh",
            "base": str(self.base), "workers": 1, "ready_timeout": 60.0, "drain_timeout": 5.0,
            "limits": {"queue_time": 60.0}, **changed,  # others may have the processors
        }  # fmt: skip
        place = Place("far", SERVICE, settings, self.folder / "home", project=self.folder)
        place = Place(**{**vars(place), "ledger": f"dir://{self.kept or self.folder}/ledger"})
        self.opened.append(load_adapter("ssh", place))
        return self.opened[-1]

    def pin(self, port: int) -> None:
        known = self.folder / "known_hosts"
        line = f"[127.0.0.1]:{port} {self.server.host_key}\n"
        before = known.read_text() if known.exists() else ""
        if line not in before:
            known.write_text(before + line)

    @property
    def ledger(self) -> Ledger:
        return open_ledger(self.adapter())

    def deploy(self, bundle: OpenBundle, **changed: Any) -> Rolled:
        adapter = self.adapter(**changed)
        rolled = deploy(adapter, open_ledger(adapter), bundle)
        self.port = rolled.observed.facts["port"]
        if not self._body and rolled.release is not None:
            golden = dict(adapter.golden(rolled.release.number))
            self._body = json.dumps({"inputs": golden["inputs"]}).encode()
        adapter.host.close()
        return rolled

    def other(self) -> OpenBundle:
        """The good bundle that does not answer now."""
        return next(x for x in (self.bundles.first, self.bundles.second) if x.digest != self.answers())

    def request(self) -> bytes:
        return self._body

    def answers(self, within: float = 60.0) -> str:
        """The digest with which the port answers; where a worker is being replaced, after a while."""
        end = time.monotonic() + within
        while True:
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                line.request("POST", f"/v2/models/{SERVICE}/infer", self._body)
                answer = line.getresponse()
                document = json.loads(answer.read())
                assert answer.status == 200, document
                return str(document["model_version"])
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < end, "nobody answers any more"
                time.sleep(0.2)
            finally:
                line.close()

    def close(self) -> None:
        for adapter in self.opened:
            adapter.host.close()


@contextmanager
def far_target(server: SshServer, base: Path, folder: Path, bundles: Bundles) -> Iterator[FarTarget]:
    """The first bundle is live when it begins; nothing runs when it has ended."""
    far = FarTarget(server, base, folder, bundles)
    far.deploy(bundles.first)
    try:
        yield far
    finally:
        last = far.adapter()
        Rollout(last, open_ledger(last), None, why="destroy").run()
        far.close()
        left = subprocess.run(["pgrep", "-f", f"{base}/services"], capture_output=True, text=True)
        assert not left.stdout, f"processes {left.stdout.split()} outlived their service"


@contextmanager
def slow_way(port: int, rate: float) -> Iterator[int]:
    """A port that leads to `port`, with `rate` bytes a second each way."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, port, rate), daemon=True).start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, port: int, rate: float) -> None:
    with suppress(OSError):
        while True:
            near = listener.accept()[0]
            far = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=_both_ways, args=(near, far, rate), daemon=True).start()


def _both_ways(near: socket.socket, far: socket.socket, rate: float) -> None:
    with near, far:
        upwards = threading.Thread(target=_slowly, args=(near, far, rate), daemon=True)
        upwards.start()
        _slowly(far, near, rate)
        upwards.join()


def _slowly(source: socket.socket, to: socket.socket, rate: float) -> None:
    with suppress(OSError):
        while data := source.recv(8192):
            time.sleep(len(data) / rate)
            to.sendall(data)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)
