"""V2 inference of 1,024 rows over loopback, as CPU time of the server per batch; ends with 1 over a limit.

Compared with the same session, run in the same process on the array: tensors as bytes (the binary tensor
extension) may cost 1.1 times its CPU time, tensors in JSON twice that.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench_infer import FEATURES, PATH, connect, shown, train, unpack

LIMITS = {"bytes": 1.10, "JSON": 2.0}  # times the session
ROWS = 1024
BATCHES = 40
ROUNDS = 7
SLICES = 6


def rows() -> Any:
    import numpy as np

    return np.random.default_rng(0).normal(size=(ROWS, FEATURES)).astype(np.float32) * 100


def request_of(form: str) -> bytes:
    """A batch as JSON or as bytes, to be answered likewise."""
    table = rows()
    tensor: dict[str, Any] = {"name": "X", "datatype": "FP32", "shape": list(table.shape)}
    lines = ""
    if form == "JSON":
        data = [float(f"{value:.4g}") for value in table.ravel()]
        body = json.dumps({"inputs": [{**tensor, "data": data}]}, separators=(",", ":")).encode()
    else:
        tensor["parameters"] = {"binary_data_size": table.nbytes}
        body = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        body += b" " * (-len(body) % 8)
        lines = f"Inference-Header-Content-Length: {len(body)}\r\n"
        body += table.tobytes()
    return f"POST {PATH} HTTP/1.1\r\nHost: b\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


def drive(port: int, form: str) -> None:
    """Ask BATCHES times over one connection."""
    request = request_of(form)
    with connect(port) as client, client.makefile("rb") as answers:
        for _ in range(BATCHES):
            client.sendall(request)
            if not answers.readline().startswith(b"HTTP/1.1 200 "):
                raise SystemExit("no prediction for a batch")
            length = 0
            while (line := answers.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name == b"Content-Length" else length
            answers.read(length)


def serve(channel: Connection, scratch: str, model: bytes) -> None:
    """The server process: says its port, then its CPU seconds, or those of BATCHES runs of the session alone,
    as it is asked."""
    from mlship_runtime.model.pipeline import Pipeline
    from mlship_runtime.serving.application import Application
    from mlship_runtime.serving.server import Server, run

    pipeline = Pipeline(unpack(Path(scratch, "m"), model, columns=False, reduction=False))
    table = {"X": rows()}

    def answer(done: asyncio.Event) -> None:
        question = channel.recv()
        began = time.process_time() if question == "session" else 0.0
        if question == "session":
            for _ in range(BATCHES):
                pipeline.predict(table)
        if question == "end":
            done.set()
        else:
            channel.send(time.process_time() - began)

    async def serving() -> None:
        listener, done = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
        Server(Application(pipeline)).accept_on(listener)
        asyncio.get_running_loop().add_reader(channel.fileno(), answer, done)
        channel.send(listener.getsockname()[1])
        await done.wait()
        asyncio.get_running_loop().remove_reader(channel.fileno())

    run(serving())


def measure(channel: Connection, port: int) -> dict[str, float]:
    """Microseconds of CPU per batch: the least of some slices taken in turn."""
    least = dict.fromkeys(("session", *LIMITS), float("inf"))
    for _ in range(SLICES):
        for form in least:
            channel.send("session" if form == "session" else "time")
            spent = float(channel.recv())
            if form != "session":
                drive(port, form)
                channel.send("time")
                spent = float(channel.recv()) - spent
            least[form] = min(least[form], spent / BATCHES * 1e6)
    return least


def main() -> int:
    fresh = multiprocessing.get_context("spawn")
    with fresh.Pool(1) as pool:
        model = pool.apply(train)
    ours, theirs = fresh.Pipe()
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        server = fresh.Process(target=serve, args=(theirs, scratch, model))
        server.start()
        port = ours.recv()
        measure(ours, port)
        rounds = [measure(ours, port) for _ in range(ROUNDS)]
        ours.send("end")
        server.join()
    held = True
    print(f"session alone, {ROWS} rows   {shown([costs['session'] for costs in rounds])} µs")
    for form, limit in LIMITS.items():
        ratio = statistics.median(costs[form] / costs["session"] for costs in rounds)
        held = held and ratio <= limit
        said = f"{ROWS} rows as {form} / session, median of {ROUNDS} rounds: {ratio:.2f}, limit {limit}"
        print(f"{shown([costs[form] for costs in rounds])} µs")
        print(f"{said}: {'held' if ratio <= limit else 'BROKEN'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
