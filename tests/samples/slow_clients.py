"""Clients that mean no good: `python slow_clients.py PORT HEADS BODIES READERS SECONDS`.

So many trickle a header, trickle a body, or read nothing of a large answer. Says as JSON, by kind, after how
many seconds each was ended (null: never)."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time

START = {
    "head": b"POST /x HTTP/1.1\r\nHost: h\r\n",
    "body": b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n",
    "reader": b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n" * 20,
}


async def client(port: int, kind: str, end: float) -> float | None:
    began = time.monotonic()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # a small window is part of the trick
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    if kind == "reader":
        writer.transport.pause_reading()
    writer.write(START[kind])
    try:
        while time.monotonic() < end:
            if kind != "reader":
                writer.write(b"A: b\r\n" if kind == "head" else b"x")
                if await ends(reader):
                    return time.monotonic() - began
                continue
            await asyncio.sleep(0.5)
            if is_reset(writer.get_extra_info("socket")):
                return time.monotonic() - began
    except OSError:
        return time.monotonic() - began
    finally:
        writer.transport.abort()
    return None


async def ends(reader: asyncio.StreamReader) -> bool:
    """Whether the server ends the connection within half a second."""
    try:
        while await asyncio.wait_for(reader.read(1024), 0.5):
            pass
    except TimeoutError:
        return False
    return True


def is_reset(sock: socket.socket) -> bool:
    """Whether the server has reset the connection, without reading from it (tcp(7) TCP_INFO: its state)."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in (7, 8)  # CLOSE, CLOSE_WAIT


async def main(port: int, counts: dict[str, int], seconds: float) -> None:
    end = time.monotonic() + seconds
    asked = [(kind, client(port, kind, end)) for kind, count in counts.items() for _ in range(count)]
    ended = await asyncio.gather(*(one for _, one in asked), return_exceptions=True)
    told: dict[str, list[float | None]] = {kind: [] for kind in counts}
    for (kind, _), after in zip(asked, ended, strict=True):
        told[kind].append(0.0 if isinstance(after, BaseException) else after)
    print(json.dumps(told))


if __name__ == "__main__":
    port, heads, bodies, readers = map(int, sys.argv[1:5])
    asyncio.run(main(port, {"head": heads, "body": bodies, "reader": readers}, float(sys.argv[5])))
