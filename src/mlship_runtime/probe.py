"""Asks a release by HTTP which bundle it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

from mlship_runtime.errors import NotReady

PATH = "/v2/health/ready"
DIGEST_HEADER = "mlship-bundle"
_HEAD_LIMIT = 16384

Opening = Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


async def digest_on_socket(path: Path, timeout: float = 10.0) -> str:
    """The digest of the bundle that answers on a worker's Unix socket; raises NotReady."""
    return await _bounded(asyncio.open_unix_connection(str(path), limit=_HEAD_LIMIT), str(path), timeout)


async def digest_on_port(host: str, port: int, timeout: float = 10.0) -> str:
    """The digest of the bundle that answers on `host`:`port`; raises NotReady."""
    return await _bounded(asyncio.open_connection(host, port, limit=_HEAD_LIMIT), f"{host}:{port}", timeout)


async def _bounded(opening: Opening, place: str, timeout: float) -> str:
    try:
        return await asyncio.wait_for(_ask(opening, place), timeout)
    except asyncio.TimeoutError:
        raise NotReady(f"{place} did not answer within {timeout:g} s") from None
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        raise NotReady(f"{place} does not answer", cause=str(error)) from error


async def _ask(opening: Opening, place: str) -> str:
    reader, writer = await opening
    try:
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("ascii"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    finally:
        writer.close()
    status = head[0].split(" ")
    if len(status) < 2 or status[1] != "200":
        raise NotReady(f"{place} is not ready", cause=f"GET {PATH} answered {head[0][:80]!r}")
    headers = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
    return headers.get(DIGEST_HEADER, "").strip()
