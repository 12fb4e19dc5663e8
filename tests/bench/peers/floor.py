"""floor.py PORT ANSWER: an epoll loop without a model. It reads whole requests by their Content-Length, and
gives each the answer (headers and body) in the file ANSWER: no server in Python does with less."""

from __future__ import annotations

import select
import socket
import sys
from pathlib import Path


def serve(port: int, answer: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", port))
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    waiting: dict[int, bytes] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                client, _ = listener.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()], waiting[client.fileno()] = client, b""
                poll.register(client.fileno(), select.EPOLLIN)
                continue
            client = clients[descriptor]
            try:
                data = client.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                poll.unregister(descriptor)
                clients.pop(descriptor).close()
                del waiting[descriptor]
                continue
            data = waiting[descriptor] + data
            while data and (whole := length(data)) and len(data) >= whole:
                client.send(answer)
                data = data[whole:]
            waiting[descriptor] = data


def length(data: bytes) -> int:
    """The bytes of the first request with its head, 0 if that is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    at = data.lower().find(b"content-length:", 0, end)
    size = int(data[at + 15 : data.index(b"\r\n", at)]) if at >= 0 else 0
    return end + 4 + size


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes())
