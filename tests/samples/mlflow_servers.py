"""Starts the real `mlflow server` on the loopback, on a folder and SQLite, behind a proxy that cuts."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

from cutting_proxy import CuttingProxy, cutting_proxy
from listening import free_port

from mlship.registry.mlflow.address import parse_address
from mlship.registry.mlflow.registry import MlflowRegistry
from mlship.registry.oci.patience import Patience

HURRIED = Patience(attempts=5, pause=0.02, connect=10, stall=60, small=60)
_QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


def mlflow_python() -> Path | None:
    """The interpreter of the environment that `make testbed` made for MLflow."""
    cache = os.environ.get("MLSHIP_TEST_CACHE") or Path.home() / ".cache" / "mlship-tests"
    folder = Path(cache, "mlflow")
    return folder / "bin" / "python" if (folder / ".ready").exists() else None


def environment() -> dict[str, str]:
    """Without settings of MLflow, and quiet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, **_QUIET}


@dataclass
class MlflowServer:
    """A running server, `proxy` before it; `fall` kills it, and it comes back on its port and folder."""

    folder: Path
    port: int
    proxy: CuttingProxy | None = None
    process: subprocess.Popen[bytes] | None = None
    returning: Timer | None = None

    @property
    def root(self) -> str:
        """What MLFLOW_TRACKING_URI would be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def artifacts(self) -> Path:
        """Where the server keeps what it got."""
        return self.folder / "artifacts"

    def url(self, model: str = "") -> str:
        """The registry's URL, past the proxy."""
        return f"mlflow://127.0.0.1:{self.port}" + (f"/{model}" if model else "")

    def counted(self) -> str:
        """The same, through the proxy, with a registered model that nobody else has."""
        assert self.proxy
        return f"mlflow://127.0.0.1:{self.proxy.port}/test-{secrets.token_hex(6)}"

    def fresh(self) -> MlflowRegistry:
        """A registry of a registered model that nobody else has, through the proxy."""
        return at(self.counted())

    def call(self, method: str, path: str, **content: Any) -> Any:
        """MLflow's own interface, as somebody else would use it."""
        body = json.dumps(content).encode() if method != "GET" else None
        headers = {"Content-Type": "application/json"}
        url = f"{self.root}/api/2.0/mlflow/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as answer:
            return json.load(answer)

    def start(self) -> None:
        python = mlflow_python()
        assert python
        command = [str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.artifacts)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment(), cwd=self.folder, start_new_session=True
            )
        end = time.monotonic() + 180
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < end, "mlflow does not listen"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.root}/health", timeout=5):
                return True
        except OSError:
            return False

    def fall(self) -> None:
        """Die now, and come back."""
        self.kill()
        self.returning = Timer(0.1, self.start)
        self.returning.start()

    def end(self) -> None:
        if self.returning is not None:
            self.returning.join(200)
        self.kill()

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)  # a session of its own: the server and its worker
            self.process.wait(10)
            self.process = None


def at(url: str, patience: Patience = HURRIED) -> MlflowRegistry:
    return MlflowRegistry(parse_address(url), patience)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    port = free_port()
    server = MlflowServer(folder, port)
    try:
        server.start()
        with cutting_proxy(port) as proxy:
            server.proxy = proxy
            yield server
    finally:
        server.end()
