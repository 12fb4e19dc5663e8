"""Bytes to whole HTTP/1.1 requests: httptools (llhttp) parses, the limits and what HTTP asks of a server
are here."""

from __future__ import annotations

from typing import Callable, Optional
from urllib.parse import urlsplit

import httptools

from mlship_runtime.serving.answer import CLOSE, KEEP, KEEP_1_0
from mlship_runtime.serving.limits import Limits

Take = Callable[[bytes, bytes, dict[bytes, bytes], bytes, bytes], None]
Admit = Callable[[bytes, dict[bytes, bytes]], Optional["Refusal"]]
_OFFER = frozenset((b"upgrade", b"http2-settings", b"expect"))
# Two of these would leave it to chance which one counts, here or at a proxy in front.
_ONCE = frozenset((b"host", b"content-type", b"authorization", b"transfer-encoding", b"expect"))


class Refusal(Exception):
    """What came is no proper request, too large, too slow or not allowed: `status` and `message` are the
    answer, the last one, with `headers` as whole lines."""

    def __init__(self, status: int, message: str, headers: bytes = b"") -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


class RequestReader:
    """Calls `take(method, target, headers, body, connection)` for each request, in order, while
    `feed` runs; `connection` is the answer's header line for it. After a request that asked to close,
    the rest is ignored. Calls `go_on()` when a client waits for "100 Continue". `admit(target, headers)` says
    before any body is read whether a request is refused."""

    def __init__(
        self, limits: Limits, take: Take, go_on: Callable[[], None], admit: Admit | None = None
    ) -> None:
        self.busy = False  # a message has begun and is not complete
        self._admit = admit
        self._limits = limits
        self._take = take
        self._go_on = go_on
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: Refusal | None = None
        self._ended = False
        self._new = self._in_head = False
        self._head_size = self._body_size = self._fed = 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self.taken = 0  # messages so far that came whole through the parser
        self._method = self._head = b""  # of the last request, if it came alone
        self._whole = 0  # the bytes of that request; 0 if there is none

    @property
    def in_head(self) -> bool:
        """Of a message that is `busy`: its header is not complete."""
        return self._in_head

    @property
    def message(self) -> object:
        """Another object for each message; the last one's until the next begins."""
        return self._headers

    @property
    def known(self) -> tuple[bytes, bytes]:
        """Method and target of the message that is `busy`, as far as it has come."""
        return (self._parser.get_method(), self._target) if self.busy and not self._in_head else (b"", b"")

    @property
    def body_size(self) -> int:
        """Bytes of the message's body so far."""
        return self._body_size

    def stop(self) -> None:
        """Ignore what still comes."""
        self._ended, self.busy, self._whole = True, False, 0

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes as they come; raises Refusal, after which nothing more may be fed."""
        if isinstance(data, bytes) and self.feed_known(data):
            return
        alone, taken, self._whole = not self.busy, self.taken, 0
        self._parse(data)
        if alone and isinstance(data, bytes):
            self.remember(data, taken)

    def feed_known(self, data: bytes) -> bool:
        """Take a request that comes alone, with a head that is, byte for byte, that of the request before: it
        means what it meant then, and need not be parsed. A client sends the same head again and again."""
        if len(data) != self._whole or not data.startswith(self._head):
            return False
        self._headers = self._headers.copy()
        self._take(self._method, self._target, self._headers, data[len(self._head) :], KEEP)
        return True

    def remember(self, data: bytes, taken: int) -> None:
        """What `data` was, which was fed when no message had begun and so many were `taken`: if it was one
        request and nothing else, and another one with its head would be the same but for its body."""
        if self.taken != taken + 1 or self.busy:
            return
        headers, at = self._headers, len(data) - self._body_size
        if self._admit is not None or self._ended or self._parser.get_http_version() != "1.1":
            return
        if (
            data.find(b"\r\n\r\n") + 4 != at
            or not _OFFER.isdisjoint(headers)
            or b"transfer-encoding" in headers
        ):
            return
        self._head, self._whole, self._method = data[:at], len(data), self._parser.get_method()

    def _parse(self, data: bytes | memoryview) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                if self._parser.get_method() == b"CONNECT":  # nothing would be left without the offer
                    raise Refusal(501, "this is no proxy") from None
                data = self._without_upgrade() + data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError as error:
                self._fail(error)
                return
        if self.busy:
            self._count(len(data))

    def _fail(self, error: httptools.HttpParserError) -> None:
        if self._ended:  # bytes behind a request that asked to close
            return
        if self._refusal is not None:
            raise self._refusal from None
        if isinstance(error, httptools.HttpParserCallbackError):
            raise error
        raise Refusal(400, f"this is not HTTP/1.1: {error}") from error

    def _without_upgrade(self) -> bytes:
        """The head of a request that offers another protocol (h2c, as Java's client does), without the
        offer: the parser stops behind such a head and would take the body for the other protocol."""
        parser = self._parser
        lines = [b"%b %b HTTP/%b" % (parser.get_method(), self._target, parser.get_http_version().encode())]
        connection = b"keep-alive" if parser.should_keep_alive() else b"close"
        headers = {**self._headers, b"connection": connection, b"host": b"known"}
        lines += [name + b": " + value for name, value in headers.items() if name not in _OFFER]
        return b"\r\n".join([*lines, b"", b""])

    def _count(self, size: int) -> None:
        """Bound what an unfinished message may hold in the parser's own buffers, where callbacks do not
        see it."""
        if self._new:
            self._new = False
            return
        self._fed += size
        if self._in_head and self._fed > self._limits.header:
            raise Refusal(431, "the header of the request is too large")
        if self._fed > self._limits.header + 2 * self._limits.body:
            raise Refusal(413, _too_large(self._limits.body))

    def _refuse(self, status: int, message: str) -> Refusal:
        self._refusal = Refusal(status, message)
        return self._refusal

    # The callbacks of httptools, in the order in which they come.

    def on_message_begin(self) -> None:
        self.busy = self._new = self._in_head = True
        self._target = b""
        self._headers = {}
        self._head_size = self._body_size = self._fed = 0
        self._body = []

    def on_url(self, part: bytes) -> None:
        self._target = self._target + part if self._target else part
        if len(self._target) > self._limits.target:
            raise self._refuse(414, "the target of the request is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self._limits.header:
            raise self._refuse(431, "the header of the request is too large")
        if not self._in_head:  # behind a chunked body: nothing there counts
            return
        headers, name = self._headers, name.lower()
        if name in headers:
            if name in _ONCE:
                raise self._refuse(400, f"the header {name.decode('latin-1')} is there twice")
            value = headers[name] + b", " + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers, version = self._headers, self._parser.get_http_version()
        if version == "1.1":
            if b"host" not in headers:
                raise self._refuse(400, "the request names no host")
        elif version != "1.0":
            raise self._refuse(505, "this server speaks HTTP/1.1")
        if b"transfer-encoding" in headers or self._admit is not None or not self._target.startswith(b"/"):
            self._check_head(headers, version)
        if int(headers.get(b"content-length", b"0")) > self._limits.body:
            raise self._refuse(413, _too_large(self._limits.body))
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise self._refuse(415, "the body is compressed or encoded: send it as it is")
        if b"expect" in headers:
            if headers[b"expect"].lower() != b"100-continue":
                raise self._refuse(417, "only 100-continue can be expected")
            if version == "1.1":
                self._go_on()

    def _check_head(self, headers: dict[bytes, bytes], version: str) -> None:
        if not self._target.startswith(b"/"):
            self._target = self._path_of(self._target)
        if b"transfer-encoding" in headers:
            self._check_coding(headers, version)
        if self._admit is not None:
            refusal = self._admit(self._target, headers)
            if refusal is not None:
                self._refusal = refusal
                raise refusal

    def _path_of(self, target: bytes) -> bytes:
        """The path and query of a target in absolute form (RFC 9112 3.2.2), or the one that has no path."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            raise self._refuse(501, "this is no proxy")
        if target == b"*" and method == b"OPTIONS":
            return target
        try:
            parts = urlsplit(target)
        except ValueError:
            parts = urlsplit(b"")
        if parts.scheme.lower() not in (b"http", b"https") or not parts.netloc:
            raise self._refuse(400, "the target of the request is no path")
        return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")

    def _check_coding(self, headers: dict[bytes, bytes], version: str) -> None:
        """What another server in front may understand in another way is not understood at all."""
        if version == "1.0" or b"content-length" in headers:
            raise self._refuse(400, "the request has no clear length")
        if headers[b"transfer-encoding"].lower() != b"chunked":
            raise self._refuse(501, "the transfer coding is not known here: only chunked is")

    def on_body(self, part: bytes) -> None:
        self._body_size += len(part)
        if self._body_size > self._limits.body:
            raise self._refuse(413, _too_large(self._limits.body))
        self._body.append(part)

    def on_message_complete(self) -> None:
        parser, parts = self._parser, self._body
        if self._ended or parser.should_upgrade():
            return
        self.busy = False
        self.taken += 1
        if not parser.should_keep_alive():
            self._ended = True
            connection = CLOSE
        else:
            connection = KEEP if parser.get_http_version() == "1.1" else KEEP_1_0
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._take(parser.get_method(), self._target, self._headers, body, connection)


def _too_large(limit: int) -> str:
    return f"the body of the request is larger than {limit:,} bytes: send fewer rows at a time"
