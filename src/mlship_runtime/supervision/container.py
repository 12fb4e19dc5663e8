"""A bundle in a container image: process 1 of the container, and the check of its health.

The image has the bundle's layers at its root; IN_IMAGE is the release record beside them. `serve` and no
word at all mean the same: services that start `IMAGE serve` find what they expect.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from mlship_runtime.errors import SiteError
from mlship_runtime.supervision import foreground
from mlship_runtime.supervision.listening import PORT_OF_CONTAINER
from mlship_runtime.supervision.probe import digest_on_port
from mlship_runtime.supervision.release_record import IN_IMAGE

_PORTS = ("MLSHIP_PORT", "SAGEMAKER_BIND_TO_PORT")  # the first that is there counts
_HOST = "MLSHIP_HOST"
_ALL = "0.0.0.0"  # noqa: S104  a container is reached from outside of it, or not at all
_HEALTH_TIMEOUT = 5.0  # seconds


def main(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM (`serve`, or no word), or ask the server of this container whether it is well
    (`health`). Raises SiteError for a port that is none, NotReady where nothing answers."""
    word = words[0] if words else "serve"
    if word not in ("serve", "health") or len(words) > 1:
        sys.stderr.write("this image knows serve and health, not " + " ".join(map(repr, words)) + "\n")
        return 2
    port = _port(environment)
    if word == "health":
        digest_on_port("127.0.0.1", port, _HEALTH_TIMEOUT)
        return 0
    return foreground.main(IN_IMAGE, environment.get(_HOST) or _ALL, port)


def _port(environment: Mapping[str, str]) -> int:
    for name in _PORTS:
        text = environment.get(name)
        if text:
            if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 1 << 16:
                raise SiteError(
                    f"{name} is no port: {text[:40]!r}", fix="Give it a number from 1024 to 65535"
                )
            return int(text)
    return PORT_OF_CONTAINER
