"""What systemd is told by a service that it keeps (sd_notify(3)), and how often it wants to hear of it."""

from __future__ import annotations

import asyncio
import os
import socket

_SOCKET, _PERIOD, _OF = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"


def tell(state: str) -> bool:
    """Send `state` (READY=1, WATCHDOG=1, …); False where nobody wants to know. Raises OSError."""
    address = os.environ.get(_SOCKET, "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address[0] == "@" else address)
        sender.sendall(state.encode("utf-8"))
    return True


def watchdog_period() -> float | None:
    """Seconds within which WATCHDOG=1 must come, None if this process is not watched."""
    period, of = os.environ.get(_PERIOD, ""), os.environ.get(_OF, "")
    if not period.isdigit() or not int(period) or (of and of != str(os.getpid())):
        return None
    return int(period) / 1e6


async def keep_telling() -> None:
    """Tell, on this loop, that it turns, as long as it does: three times in each period."""
    period = watchdog_period()
    while period is not None:
        tell("WATCHDOG=1")
        await asyncio.sleep(period / 3)
