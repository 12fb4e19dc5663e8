"""A folder of artifacts behind an MLflow server: listed, read and written, whatever storage it stands on.

Source: MLflow, mlflow_artifacts.proto (the interface of `mlflow server --artifacts-destination`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, urlencode, urlsplit

from mlship.errors import RegistryError
from mlship.registry.mlflow.client import ABSENT, Client
from mlship.registry.oci.reading import BlobReading
from mlship.registry.oci.transport import Response
from mlship.registry.oci.trouble import Refused

_API = "/api/2.0/mlflow-artifacts/artifacts"
_PIECE = 128 << 10  # bytes of one call: each has the whole time limit, on a slow line too
_STORING = 8 << 20  # bytes a second that a server may need to store what it got


class Folder:
    """The artifacts below one `mlflow-artifacts:` URI."""

    def __init__(self, client: Client, uri: str) -> None:
        self.client, self.path = client, _path_of(client, uri)

    def listed(self, below: str = "") -> dict[str, int]:
        """Size by name of the files in a folder (not deeper); empty if there is none."""
        found = self.entries(below)
        return {name: size for name, size in found.items() if size is not None}

    def entries(self, below: str = "") -> dict[str, int | None]:
        """Size by name of what is in a folder; None for folders."""
        query = urlencode({"path": self._place(below) if below else self.path})

        def tried() -> dict[str, int | None]:
            answer = self.client.json(f"list {below or 'artifacts'}", "GET", f"{_API}?{query}", None)
            files = [x for x in answer.get("files") or [] if isinstance(x, dict)]
            return {
                str(x.get("path")): None if x.get("is_dir") else int(x.get("file_size") or 0) for x in files
            }

        return self.client.repeat(tried)

    def pieces(self, name: str, digest: str, size: int) -> Iterator[bytes]:
        """A file of `size` bytes that is to be the content of `digest`: whoever reads it checks it."""

        def ask(headers: Mapping[str, str]) -> Response:
            return self._asked(name, headers)

        return BlobReading(self.client, digest, size, ask).pieces()

    def read(self, name: str, limit: int) -> bytes | None:
        """A file of at most `limit` bytes; None if there is none."""

        def tried() -> bytes | None:
            try:
                response = self._asked(name, {})
            except Refused as refusal:
                if refusal.status == 404 or ABSENT in refusal.codes:
                    return None
                raise
            return self.client.transport.whole(response, limit)

        return self.client.repeat(tried)

    def write(self, name: str, size: int, content: Callable[[], Iterable[bytes]]) -> None:
        """Store a file of `size` bytes in place of what may be there; `content` is called for each try."""

        def tried() -> None:
            response = self.client.once(
                f"store {name}",
                "PUT",
                f"{_API}/{quote(self._place(name))}",
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
                body=lambda: _in_pieces(content()),
                good=(200, 201, 204),
                longer=size / _STORING,
            )
            self.client.transport.discard(response)

        self.client.repeat(tried)

    def _asked(self, name: str, headers: Mapping[str, str]) -> Response:
        path = f"{_API}/{quote(self._place(name))}"
        return self.client.once(f"read {name}", "GET", path, headers=headers, good=(200, 206))

    def _place(self, name: str) -> str:
        if not _is_plain(name):
            raise RegistryError(
                f"{self.client.url} names an artifact {name[:100]!r}", cause="it is no plain path"
            )
        return f"{self.path}/{name}"


def _path_of(client: Client, uri: str) -> str:
    """The path that a URI means behind this server. Raises RegistryError for artifacts that lie elsewhere."""
    there = urlsplit(uri)
    path = there.path.strip("/")
    ours = there.netloc in ("", client.address.host)
    if there.scheme != "mlflow-artifacts" or not ours or not _is_plain(path):
        raise RegistryError(
            f"the artifacts of {client.url} do not lie behind it",
            cause=f"they are at {there.scheme or 'a path'}://{there.hostname or ''}…",
            fix="Have it started with --artifacts-destination, so that artifacts go through it",
        )
    return path


def _is_plain(path: str) -> bool:
    """Whether it leads downwards only, and is nothing but names."""
    parts = path.split("/")
    return path.isprintable() and "\\" not in path and not any(part in ("", ".", "..") for part in parts)


def _in_pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The last piece is only given when `chunks` has ended without an error: a server has no other sign that
    what it got is right."""
    held = b""
    for chunk in chunks:
        for at in range(0, len(chunk), _PIECE):
            if held:
                yield held
            held = chunk[at : at + _PIECE]
    if held:
        yield held
