"""What the kernel holds of a connection: bytes that have come, and bytes that have not gone."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios

_SO_NWRITE = 0x1024  # macOS


def unread(descriptor: int) -> int:
    """Bytes that have come and that nobody has read."""
    return _asked(descriptor, termios.FIONREAD)


def untaken(descriptor: int) -> int:
    """Bytes that were written and that the other side's machine has not confirmed (tcp(7) SIOCOUTQ); 0 where
    the kernel does not tell."""
    try:
        if sys.platform != "darwin":
            return _asked(descriptor, termios.TIOCOUTQ)
        with socket.socket(fileno=descriptor) as borrowed:
            try:
                return borrowed.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
            finally:
                borrowed.detach()
    except (OSError, ValueError):  # it has been closed in this moment
        return 0


def _asked(descriptor: int, request: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(descriptor, request, b"\0\0\0\0"))[0])
