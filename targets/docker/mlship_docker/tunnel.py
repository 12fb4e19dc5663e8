"""An engine behind SSH as a Unix socket here: each connection is one `docker system dial-stdio` there.

The OpenSSH client does it, with the user's own settings, keys and known hosts, and asks nothing.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from mlship.errors import TargetError

_BATCH = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-T")
_FAR = ("docker", "system", "dial-stdio")


class SshTunnel:
    """`url` is the Unix socket's. Ends with the object, and with this process."""

    def __init__(self, address: str) -> None:
        program = shutil.which("ssh")
        if program is None:
            raise TargetError("there is no ssh here", fix="Install the OpenSSH client")
        parts = urlsplit(address)
        port = ["-p", str(parts.port)] if parts.port else []
        user = ["-l", parts.username] if parts.username else []
        words = [program, *_BATCH, *port, *user, "--", str(parts.hostname), *_FAR]
        folder = Path(tempfile.mkdtemp(prefix="mlship-engine-"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "s"))
        self._listener.listen(16)
        self.url = f"unix://{folder}/s"
        self.complaints = folder / "said"
        self._end = weakref.finalize(self, _close, self._listener, folder)
        threading.Thread(target=_accept, args=(self._listener, words, self.complaints), daemon=True).start()

    def said(self) -> str:
        """The last thing that ssh complained of."""
        with suppress(OSError):
            lines = self.complaints.read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    def close(self) -> None:
        self._end()


def _accept(listener: socket.socket, words: list[str], complaints: Path) -> None:
    while True:
        try:
            stream, _ = listener.accept()
        except OSError:  # closed
            return
        with stream, complaints.open("ab") as said:
            both = stream.fileno()
            child = subprocess.Popen(words, stdin=both, stdout=both, stderr=said, start_new_session=True)
        threading.Thread(target=child.wait, daemon=True).start()


def _close(listener: socket.socket, folder: Path) -> None:
    listener.close()
    shutil.rmtree(folder, ignore_errors=True)
