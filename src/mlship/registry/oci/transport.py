"""One HTTP exchange: who may be spoken to, for how long, and what a failure means. Nothing is repeated here.

Only this module knows urllib3.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from threading import Lock
from typing import Protocol
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from mlship.errors import RegistryError
from mlship.registry.oci.address import is_loopback
from mlship.registry.oci.certificates import tls
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.trouble import Passing, TooSlow

Response = urllib3.BaseHTTPResponse

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_CONNECTIONS = 8
_PIECE = 1 << 20


class Server(Protocol):
    """Where a server is: its URL as the user writes it, what the paths of its interface are added to, and
    whether it is spoken to without TLS."""

    @property
    def url(self) -> str: ...
    @property
    def root(self) -> str: ...
    @property
    def plain(self) -> bool: ...


class Transport:
    """Speaks to the registry at `address` and to where that sends us. Safe for several threads."""

    def __init__(self, address: Server, patience: Patience) -> None:
        self.address, self.patience = address, patience
        self._answered = False  # whether anybody ever did
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = Lock()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
        longer: float = 0.0,
    ) -> Response:
        """The answer of `url` (or of where it redirects to, if there is no body), its body not yet read. It
        may take `longer` seconds than others until it begins.

        Authorization goes to the origin of `url` alone. Raises Passing or RegistryError.
        """
        headers = dict(headers)
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._exchange(method, url, headers, body, longer)
            self._answered = True
            target = response.headers.get("Location")
            if method == "HEAD":
                self.discard(response)
            if response.status not in _REDIRECTS or body is not None or not target:
                return response
            self.discard(response)
            there = self.located(url, target)
            if origin(there) != origin(url):
                headers.pop("Authorization", None)
            url = there
        raise RegistryError(f"{self.address.url} redirects without end")

    def located(self, url: str, target: str) -> str:
        """The URL that `target` means in an answer of `url`; RegistryError if one may not go there."""
        there = urlsplit(urljoin(url, target))
        if (
            there.scheme == "http"
            and not self.address.plain
            and there.netloc == urlsplit(self.address.root).netloc
        ):
            there = there._replace(scheme="https")  # a proxy before the registry has not told it of TLS
        allowed = ("https", "http") if self.address.plain else ("https",)
        if there.scheme not in allowed or not there.hostname or there.username is not None:
            raise RegistryError(
                f"{self.address.url} sends us to a place without TLS",
                cause=f"{there.scheme}://{there.hostname}",
                fix="Tell its administrator",
            )
        return urlunsplit(there)

    def whole(self, response: Response, limit: int) -> bytes:
        """The body of an answer that is at most `limit` bytes; RegistryError if there are more."""
        parts, seen = [], 0
        for part in self.pieces(response, time.monotonic() + self.patience.small):
            parts.append(part)
            seen += len(part)
            if seen > limit:
                response.close()
                raise RegistryError(
                    f"{self.address.url} answers with too much", cause=f"more than {limit} bytes"
                )
        return b"".join(parts)

    def pieces(self, response: Response, until: float | None = None) -> Iterator[bytes]:
        """The body as it comes. Passing if it is cut, comes too slowly, or not before `until`."""
        since, seen = time.monotonic(), 0
        with self._told():
            try:
                while piece := response.read1(_PIECE):
                    yield piece
                    seen += len(piece)
                    now = time.monotonic()
                    if until is not None and now > until:
                        raise self._too_slow()
                    if now - since > self.patience.stall:
                        if seen < self.patience.slowest * self.patience.stall:
                            raise self._too_slow()
                        since, seen = now, 0
                response.release_conn()
            except BaseException:
                response.close()  # what is left in the connection belongs to nobody
                raise

    def discard(self, response: Response) -> None:
        """Be done with an answer whose body is of no interest: keep the connection if that is cheap."""
        if response.length_remaining is not None and response.length_remaining < _PIECE:
            for _ in self.pieces(response, time.monotonic() + self.patience.stall):
                continue
        else:
            response.close()

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        longer: float,
    ) -> Response:
        with self._told():
            return self._pool(url).request(
                method,
                url,
                headers={"User-Agent": "mlship", "Accept-Encoding": "identity", **headers},
                body=body,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=self.patience.connect, read=self.patience.stall + longer),
            )

    def _pool(self, url: str) -> urllib3.PoolManager:
        there = urlsplit(url)
        with self._lock:
            pool = self._pools.get((there.scheme, there.netloc))
            if pool is None:
                pool = self._pools[there.scheme, there.netloc] = _new_pool(there.scheme, there.netloc)
        return pool

    def _too_slow(self) -> TooSlow:
        return TooSlow(f"{self.address.url} is too slow", cause="what it sends comes in drops")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Let the library's errors out as ours, without a chain: their text may hold a signed URL."""
        where = self.address.url
        try:
            yield
        except SSLError as error:
            raise _no_tls(where, error, reached=self._answered) from None
        except ProxyError as error:
            raise Passing(
                f"the proxy before {where} does not work",
                cause=_reason(error),
                fix="Look at HTTPS_PROXY and NO_PROXY",
                reached=self._answered,
            ) from None
        except (NewConnectionError, ConnectTimeoutError, NameResolutionError) as error:
            raise Passing(
                f"{where} cannot be reached",
                cause=_reason(error),
                fix="Look at the name and port",
                reached=self._answered,
            ) from None
        except (HTTPError, HTTPException, OSError) as error:
            raise Passing(f"the connection to {where} broke", cause=_reason(error)) from None


def origin(url: str) -> tuple[str, str]:
    """Scheme and host with port: what credentials are tied to."""
    there = urlsplit(url)
    port = there.port or {"https": 443, "http": 80}.get(there.scheme)
    return there.scheme, f"{there.hostname}:{port}"


def _new_pool(scheme: str, host: str) -> urllib3.PoolManager:
    context = tls(host) if scheme == "https" else None
    proxy = None if is_loopback(host) else urllib.request.getproxies().get(scheme)
    if proxy is None or urllib.request.proxy_bypass(urlsplit(f"//{host}").hostname or host):
        return urllib3.PoolManager(maxsize=_CONNECTIONS, ssl_context=context)
    there = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    who = f"{unquote(there.username)}:{unquote(there.password or '')}" if there.username else None
    return urllib3.ProxyManager(
        urlunsplit(there._replace(netloc=there.netloc.rpartition("@")[2])),
        proxy_headers=urllib3.make_headers(proxy_basic_auth=who),
        maxsize=_CONNECTIONS,
        ssl_context=context,
    )


def _no_tls(where: str, error: SSLError, *, reached: bool) -> RegistryError:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return RegistryError(
            f"the certificate of {where} is not trusted",
            cause=text.partition("verify failed: ")[2].partition(" (_ssl")[0]
            or "nobody known here signed it",
            fix="Name the file with your own authority's certificate: MLSHIP_CA_FILE or SSL_CERT_FILE",
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return RegistryError(
            f"{where} does not speak TLS",
            fix=f"If the way to it is safe without, write {re.split('[:+]', where)[0]}+http:// in its URL",
        )
    return Passing(f"no TLS connection with {where}", cause=_reason(error), reached=reached)


def _reason(error: BaseException) -> str:
    """The system's words for what happened, which name no URL."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TimeoutError):
            return "it does not answer in time"
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        if isinstance(seen, NameResolutionError):
            return "nobody knows its name"
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, ConnectTimeoutError) or "Timeout" in type(error).__name__:
        return "it does not answer in time"
    return "it was closed before all was said"
