"""A bundle in a container image: what the first word makes of its container.

The image has the bundle's layers at its root; IN_IMAGE is the release record beside them. `serve` and no word
at all mean the same: services that start `IMAGE serve` find what they expect. `front` and `release` are the
two kinds of containers of a service that a deployer keeps on an engine; `order` and `connect` are what it
runs in the front.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.supervision import foreground
from mlship_runtime.supervision.control import fault_data, request
from mlship_runtime.supervision.listening import PORT_OF_CONTAINER
from mlship_runtime.supervision.probe import digest_on_port, digest_on_socket
from mlship_runtime.supervision.release_record import IN_IMAGE
from mlship_runtime.supervision.shared import RELEASE, shared

_PORTS = ("MLSHIP_PORT", "SAGEMAKER_BIND_TO_PORT")  # the first that is there counts
_HOST = "MLSHIP_HOST"
_ALL = "0.0.0.0"  # noqa: S104  a container is reached from outside of it, or not at all
_HEALTH_TIMEOUT = 5.0  # seconds
_WORDS = {"serve": 0, "health": 0, "front": 0, "release": 0, "order": 1, "connect": 1}  # what must follow
_ORDER_TIMEOUT = 60.0  # seconds


def main(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM (`serve`, or no word), or ask the server of this container whether it is well
    (`health`). Raises SiteError for a port that is none, NotReady where nothing answers."""
    word, *rest = words or ("serve",)
    if _WORDS.get(word) != len(rest):
        sys.stderr.write("this image knows serve and health, not " + " ".join(map(repr, words)) + "\n")
        return 2
    if word == "health":
        return _health(environment)
    if word == "serve":
        return foreground.main(IN_IMAGE, environment.get(_HOST) or _ALL, _port(environment))
    if word == "front":
        from mlship_runtime.supervision import front

        return front.main()
    if word == "release":
        from mlship_runtime.supervision import behind

        return behind.main(environment)
    if word == "order":
        return _order(rest[0])
    from mlship_runtime.supervision import relay

    return relay.main(shared(), rest[0])


def _health(environment: Mapping[str, str]) -> int:
    if RELEASE not in environment:
        digest_on_port("127.0.0.1", _port(environment), _HEALTH_TIMEOUT)
        return 0
    from mlship_runtime.supervision import behind

    record, index = behind.read_order(environment)
    digest_on_socket(shared().sockets(record["number"], index).web, _HEALTH_TIMEOUT)
    return 0


def _order(text: str) -> int:
    """Give the front an order (JSON), and say in one line of JSON what it answers."""
    try:
        answer = request(shared().front, json.loads(text), _ORDER_TIMEOUT)
    except RuntimeFault as fault:
        answer = {"ok": False, "error": fault_data(fault)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


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
