"""A release for the handover tests: echo_release.py DESCRIPTOR PATH serves the inherited listening socket and
receives connections at PATH; it obeys lines of JSON on standard input and answers in lines of JSON."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time

from mlship_runtime.serving.answer import Answer, error_answer
from mlship_runtime.serving.server import Server, run

BUSY = 0.0003  # seconds of work per request: an idle server hides every fault


class SlowEcho:
    """Answers with the request's target after a little work."""

    headers = b""
    connections = waiting = 0

    def answer(self, method, target, headers, body):
        end = time.perf_counter() + BUSY
        while time.perf_counter() < end:
            pass
        return Answer(200, target)

    def refuse(self, status, message):
        return error_answer(status, message)


async def be_a_release(descriptor, path):
    listener = socket.socket(fileno=descriptor)
    server = Server(SlowEcho())
    await server.receive_handover(path)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    say({"ready": True})
    while line := await reader.readline():
        order = json.loads(line)
        if order["do"] == "accept":
            server.accept_on(listener)
        elif order["do"] == "drain":
            say(vars(await server.drain(order["handover"], order["deadline"])))
        say({"received": server.received, "connections": server.application.connections})
    await server.close()


def say(answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(be_a_release(int(sys.argv[1]), sys.argv[2]))
