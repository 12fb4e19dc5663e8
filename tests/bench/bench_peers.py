"""One row over loopback, the same ONNX model behind mlship and other servers: a table of throughput and CPU.

All servers are up at once, each with one worker, and `wrk` drives them in turn over 16 connections, in rounds
of alternating order: on a machine that does other things, too, only the ratios of one run mean something.
`make peers` installs the others, each in an environment of its own; those that are not there are named. Ends
with 1 if a ratio is missed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from bench_infer import body_of, train

from mlship_runtime.bundle.tree import open_tree
from mlship_runtime.bundle.verify import verify_tree

ROUNDS = 5
SECONDS = 2
CONNECTIONS = 16
FLOOR, OURS = "no model (epoll loop)", "mlship"
CPU_GOAL, CPU_LIMIT = 2.4, 2.8  # times the CPU of the loop without a model, per request
MEMORY_LIMIT = 60.0  # MB of a worker's own share (PSS)
START_LIMIT = 0.5  # seconds of CPU from start to ready, without verifying the bytes
RUNTIME_LIMIT, WITHOUT_UVLOOP_LIMIT = 145.0, 130.0  # MB of packages and server, unpacked
HERE = Path(__file__).resolve().parent / "peers"
CACHE = Path(os.environ.get("MLSHIP_TEST_CACHE") or Path.home() / ".cache" / "mlship-tests") / "peers"
INFER = "/v2/models/bench/infer"
# How many times their throughput ours must be.
RATIOS = {"fastapi": 5.0, "mlserver": 15.0, "mlflow": 25.0, "bentoml": 30.0}
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A process group that answers `body` at `path`; `rates` (requests a second) and `costs` (µs of CPU a
    request) by round."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    path: str = INFER
    body: bytes = field(default_factory=lambda: body_of("matrix"))
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def cpu(self) -> float:
        """Seconds of CPU of the process and all below it."""
        return sum(_seconds(pid) for pid in _family(self.process.pid))

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Starter:
    """Starts servers with their logs in `scratch`."""

    def __init__(self, scratch: Path, model: Path) -> None:
        self.scratch, self.model = scratch, model

    def floor(self, answer: bytes) -> Server:
        file = self.scratch / "answer"
        file.write_bytes(answer)
        port = free_port()
        return self._start(FLOOR, [sys.executable, "-S", HERE / "floor.py", str(port), file], port)

    def ours(self) -> Server:
        """A bundle that `mlship build` has made, served by its own runtime: verified, proved, limited."""
        folder = self.scratch / "project"
        folder.mkdir()
        shutil.copy(self.model, folder / "model.onnx")
        np.save(
            folder / "rows.npy", np.array([_row()] * 8, np.float32) + np.arange(8, dtype=np.float32)[:, None]
        )
        mlship = str(Path(sys.prefix, "bin", "mlship"))
        own = {"MLSHIP_HOME": str(self.scratch / "home"), "VIRTUAL_ENV": sys.prefix}
        for words in (["init", "--model", "model.onnx", "--examples", "rows.npy"], ["build"]):
            subprocess.run(
                [mlship, *words], cwd=folder, env={**os.environ, **own}, check=True, capture_output=True
            )
        name = re.search(r'^name = "(.+)"', (folder / "mlship.toml").read_text(), re.MULTILINE)
        assert name is not None
        port = free_port()
        server = self._start(OURS, [mlship, "serve", "--port", str(port)], port, own, folder)
        server.path = f"/v2/models/{name[1]}/infer"
        return server

    def fastapi(self) -> Server:
        port = free_port()
        words = [
            "fastapi_app:app",
            "--port",
            str(port),
            "--loop",
            "uvloop",
            "--http",
            "httptools",
            "--no-access-log",
        ]
        return self._start("fastapi", [_tool("fastapi", "uvicorn"), *words], port, folder=HERE)

    def mlserver(self) -> Server:
        folder, ports = self.scratch / "mlserver", [free_port() for _ in range(3)]
        folder.mkdir()
        shutil.copy(HERE / "mlserver_runtime.py", folder)
        settings = dict(zip(("http_port", "grpc_port", "metrics_port"), ports, strict=True))
        settings |= {"parallel_workers": 0, "debug": False, "host": "127.0.0.1"}
        (folder / "settings.json").write_text(json.dumps(settings))
        model = {"name": "bench", "implementation": "mlserver_runtime.OnnxModel"}
        (folder / "model-settings.json").write_text(json.dumps(model))
        return self._start("mlserver", [_tool("mlserver", "mlserver"), "start", "."], ports[0], folder=folder)

    def mlflow(self) -> Server:
        folder, port = self.scratch / "mlflow", free_port()
        make = [_tool("mlflow", "python"), HERE / "mlflow_model.py", self.model, folder]
        subprocess.run([str(word) for word in make], check=True, capture_output=True, cwd=self.scratch)
        words = ["models", "serve", "-m", folder, "-p", str(port), "--env-manager", "local", "-w", "1"]
        server = self._start("mlflow", [_tool("mlflow", "mlflow"), *words], port)
        server.path, server.body = "/invocations", json.dumps({"inputs": [_row()]}).encode()
        return server

    def bentoml(self) -> Server:
        port = free_port()
        words = ["serve", "bentoml_service:Bench", "--host", "127.0.0.1", "--port", str(port)]
        server = self._start("bentoml", [_tool("bentoml", "bentoml"), *words], port, folder=HERE)
        server.path, server.body = "/predict", json.dumps({"x": [_row()]}).encode()
        return server

    def _start(
        self,
        name: str,
        command: Sequence[str | Path],
        port: int,
        more: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Server:
        tools = str(Path(command[0]).parent)
        environment = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("PYTHON", "VIRTUAL_ENV"))
            },
            "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "BENCH_MODEL": str(self.model),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENTOML_DO_NOT_TRACK": "True",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **(more or {}),
        }
        with (self.scratch / f"{name.split()[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=folder or self.scratch, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return Server(name, process, port)


def _tool(peer: str, name: str) -> Path:
    return CACHE / peer / "bin" / name


def _row() -> list[float]:
    tensor = json.loads(body_of("matrix"))["inputs"][0]
    return list(tensor["data"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def until_answers(server: Server, log: Path, timeout: float = 180.0) -> bytes:
    """The first prediction as it comes over the wire, head and body."""
    end = time.monotonic() + timeout
    while time.monotonic() < end and server.process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", server.path, server.body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
                return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body
        connection.close()
        time.sleep(0.2)
    raise SystemExit(f"{server.name} does not answer:\n{log.read_text(errors='replace')[-3000:]}")


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _seconds(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / _TICK


def measure(server: Server, scratch: Path) -> None:
    """One round: wrk for some seconds; every answer must be a 200."""
    script = scratch / f"{server.name.split()[0]}.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = {json.dumps(server.body.decode())}\n"
        "wrk.headers['Content-Type'] = 'application/json'\n"
    )
    url = f"http://127.0.0.1:{server.port}{server.path}"
    before = server.cpu()
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), url]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    used = server.cpu() - before
    found = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if "Non-2xx" in said or "Socket errors" in said or found is None or rate is None:
        raise SystemExit(f"{server.name} did not answer every request:\n{said}")
    server.rates.append(float(rate[1]))
    server.costs.append(used / int(found[1]) * 1e6)


@dataclass(frozen=True)
class Fresh:
    """Our server right after its first answer: seconds of CPU so far, of those for verifying; MB of memory
    that are its share (PSS), of its runtime as unpacked, and of uvloop in that."""

    cpu: float
    verifying: float
    memory: float
    runtime: float
    uvloop: float

    @classmethod
    def of(cls, server: Server) -> Fresh:
        worker = list(_family(server.process.pid))[-1]
        cpu = _seconds(worker)
        memory = memory_of(server)
        words = Path(f"/proc/{worker}/cmdline").read_bytes().split(b"\0")
        record = json.loads(Path(words[words.index(b"--release") + 1].decode()).read_bytes())
        before = time.process_time()
        verify_tree(open_tree(record))
        verifying = time.process_time() - before
        runtimes = [Path(folder, "runtime") for folder in record["layers"].values()]
        sizes = {
            path: path.stat().st_size for folder in runtimes for path in folder.rglob("*") if path.is_file()
        }
        uvloop = sum(size for path, size in sizes.items() if "uvloop" in path.parts)
        return cls(cpu, verifying, memory, sum(sizes.values()) / 1e6, uvloop / 1e6)


def memory_of(server: Server) -> float:
    """MB of memory that are the worker's share (PSS, proc(5)): pages that several processes have are divided
    among them."""
    worker = list(_family(server.process.pid))[-1]
    rollup = Path(f"/proc/{worker}/smaps_rollup").read_text()
    size = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(size[1]) * 1024 / 1e6 if size else float("nan")


def shown(values: Sequence[float], digits: int = 1) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(servers: Sequence[Server], ours: Server, floor: Server) -> None:
    rows = [("server", "requests/s", "mlship is quicker by", "CPU µs/request", "CPU, times no model")]
    for server in servers:
        ratios = [one / other for one, other in zip(ours.rates, server.rates, strict=True)]
        costs = [one / other for one, other in zip(server.costs, floor.costs, strict=True)]
        rows.append(
            (server.name, shown(server.rates, 0), shown(ratios), shown(server.costs), shown(costs, 2))
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    rows.insert(1, tuple("-" * width for width in widths))
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def verdict(what: str, value: float, limit: float, *, least: bool = False) -> bool:
    holds = value >= limit if least else value <= limit
    print(
        f"{what}: {value:.2f} ({'at least' if least else 'at most'} {limit:g}) {'ok' if holds else 'MISSED'}"
    )
    return holds


def main() -> int:
    if shutil.which("wrk") is None:
        print("wrk is not installed (apt-get install wrk): nothing is measured")
        return 0
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as folder:
        scratch = Path(folder)
        model = scratch / "model.onnx"
        model.write_bytes(train())
        starter = Starter(scratch, model)
        try:
            ours = starter.ours()
            servers.append(ours)
            answer = until_answers(ours, scratch / "mlship.log")
            fresh = Fresh.of(ours)
            floor = starter.floor(answer)
            servers.insert(0, floor)
            until_answers(floor, scratch / "no.log")
            for name in RATIOS:
                if (CACHE / name / ".ready").exists():
                    servers.append(getattr(starter, name)())
                    until_answers(servers[-1], scratch / f"{name}.log")
                else:
                    print(f"{name} is not installed: make peers")
            for server in servers:  # caches, and code that is specialised as it runs
                measure(server, scratch)
                server.rates.clear(), server.costs.clear()
            for number in range(ROUNDS):
                for server in servers if number % 2 else servers[::-1]:
                    measure(server, scratch)
            loaded = memory_of(ours)
        finally:
            for server in servers:
                server.end()
    table(servers, ours, floor)
    held = [
        verdict(
            f"throughput / {server.name}",
            statistics.median(one / other for one, other in zip(ours.rates, server.rates, strict=True)),
            RATIOS[server.name],
            least=True,
        )
        for server in servers
        if server.name in RATIOS
    ]
    cost = statistics.median(one / other for one, other in zip(ours.costs, floor.costs, strict=True))
    held.append(verdict(f"CPU per request / no model (goal {CPU_GOAL})", cost, CPU_LIMIT))
    print(f"verifying every byte: {fresh.verifying:.2f} s of CPU")
    held += [
        verdict("start to ready without verifying, s of CPU", fresh.cpu - fresh.verifying, START_LIMIT),
        verdict("memory of a worker (PSS) when ready, MB", fresh.memory, MEMORY_LIMIT),
        verdict("memory of a worker (PSS) after the load, MB", loaded, MEMORY_LIMIT),
        verdict("runtime as unpacked, MB", fresh.runtime, RUNTIME_LIMIT),
        verdict("the same without uvloop, MB", fresh.runtime - fresh.uvloop, WITHOUT_UVLOOP_LIMIT),
    ]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
