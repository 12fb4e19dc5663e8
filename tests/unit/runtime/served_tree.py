"""A server in a process of its own: served_tree.py serves the unpacked bundle that a line of JSON on standard
input describes, says its port, and ends when standard input does."""

from __future__ import annotations

import asyncio
import json
import socket
import sys

from mlship_runtime.bundle.spec import read_spec
from mlship_runtime.bundle.tree import BundleTree
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving.application import Application
from mlship_runtime.serving.server import Server, run


async def serve(application: Application) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    Server(application).accept_on(listener)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


if __name__ == "__main__":
    given = json.loads(sys.stdin.readline())
    spec = read_spec(given["spec"].encode())
    run(serve(Application(Pipeline(BundleTree(given["manifest"].encode(), spec, given["roots"])))))
