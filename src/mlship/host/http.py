"""One HTTP request over a stream that a host opened."""

from __future__ import annotations

from mlship.errors import TargetError
from mlship.host.protocol import Host
from mlship_runtime.client import Line, Request, Response, Unanswered


def request(host: Host, address: str, asked: Request) -> Response:
    """Send `asked` to `address` on `host`. Raises TargetError if no whole answer comes back in time."""
    with Line(lambda timeout: host.connect(address, timeout=timeout)) as line:
        try:
            return line.exchange(asked)
        except Unanswered as fault:
            what = f"no whole answer from {address}"
            raise TargetError(what, cause=fault.cause, fix="See mlship logs") from fault
