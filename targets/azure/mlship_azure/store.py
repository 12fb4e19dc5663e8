"""A Store in a container of Azure Blob (`azblob://account/container/prefix`): one block blob per key.

A version is an ETag. Each value keeps its SHA-256 and a token of its writer in its metadata: the one is
compared on every whole read, the other tells a write whose answer was lost from somebody else's. Long values
come in blocks whose ids are made of their content: what a killed writer staged is found and not sent again.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mlship.digest import CHUNK
from mlship.errors import RegistryError
from mlship.store.asking import Declined, Patience
from mlship.store.folder import MAX_GET, SMALL
from mlship.store.keys import check_key, check_prefix, is_segment
from mlship.store.parts import PART, Lanes, cut, measured, onward, part_size
from mlship.store.protocol import Stat
from mlship_azure.address import read_address
from mlship_azure.container import Container

MOST_BLOCKS = 50_000
WINDOW, WINDOWS = 4 << 20, 3  # bytes asked for at once, and how often at a time
SHA256, TOKEN = "mlship_sha256", "mlship_write"


class AzureStore:
    """The Store at an `azblob://` URL. Not tied to a thread."""

    def __init__(self, url: str, patience: Patience | None = None, part: int = PART) -> None:
        self.address = read_address(url)
        self._container = Container(self.address, patience or Patience())
        self._part, self._lanes = part, Lanes()

    @property
    def url(self) -> str:
        return self.address.url

    def stat(self, key: str) -> Stat | None:
        """See Store."""
        found = self._properties(self._name(key))
        return Stat(found.size, found.etag) if found else None

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Chunks of at most 1 MiB, all of one version, asked for in windows that run ahead."""
        return self._read(key, self._name(key), start, length)

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A small value and its version."""
        name = self._name(key)

        def fetch(client: Any) -> tuple[Any, bytes]:
            answer = client.get_blob_client(name).download_blob(max_concurrency=1)
            return answer.properties, answer.readall() if answer.properties.size <= MAX_GET else b""

        try:
            found, data = self._container.ask(fetch)
        except Declined:
            return None
        if found.size > MAX_GET:
            raise RegistryError(f"{key} in {self.url} is too large to be read at once")
        self._check(key, found, hashlib.sha256(data).hexdigest())
        return data, found.etag

    def write_if_absent(self, key: str, chunks: Iterable[bytes], size: int | None = None) -> bool:
        """See Store; the chunks are not asked for if the key is there."""
        name = self._name(key)
        if self._properties(name) is not None:
            return False
        pieces = cut(measured(chunks, key, size), part_size(size, MOST_BLOCKS, self._part))
        ahead = list(itertools.islice(pieces, 2))
        if len(ahead) == 1:
            return self._put(name, ahead[0], None) is not None
        return self._put_blocks(name, onward(ahead, pieces)) is not None

    def write_if_match(self, key: str, data: bytes, version: str | None) -> str | None:
        """See Store."""
        if len(data) > SMALL:
            raise RegistryError(
                f"{len(data)} bytes are too many for {key}", cause=f"at most {SMALL} can be compared"
            )
        return self._put(self._name(key), data, version)

    def delete_if_match(self, key: str, version: str) -> bool:
        """See Store."""
        name = self._name(key)
        try:
            self._container.ask(lambda client: client.get_blob_client(name).delete_blob(**_matches(version)))
        except Declined as no:
            return no.unsure and self._properties(name) is None
        return True

    def list(self, prefix: str) -> Iterator[str]:
        """See Store; one request for each 5000 keys."""
        begin, token = self.address.prefix + check_prefix(prefix), None
        while True:
            try:
                names, token = self._container.ask(functools.partial(_page, begin=begin, token=token))
            except Declined as no:
                raise RegistryError(f"{self.url} cannot be listed", fix="Look at its URL") from no
            for name in names:
                key = name[len(self.address.prefix) :]
                if all(is_segment(part) for part in key.split("/")):
                    yield key
            if not token:
                return

    def _name(self, key: str) -> str:
        if any(part.endswith(".") for part in check_key(key).split("/")):
            raise RegistryError(
                f"{self.url} cannot keep {key}", cause="Azure knows no names that end with a dot"
            )
        return self.address.prefix + key

    def _properties(self, name: str) -> Any:
        try:
            return self._container.ask(lambda client: client.get_blob_client(name).get_blob_properties())
        except Declined:
            return None

    def _put(self, name: str, data: bytes, version: str | None) -> str | None:
        """The version that `data` has now; None if the condition (`version`, None: absent) does not hold."""
        token = secrets.token_hex(12)
        words: dict[str, Any] = (
            {"overwrite": False} if version is None else {"overwrite": True, **_matches(version)}
        )

        def send(client: Any) -> Any:
            return client.get_blob_client(name).upload_blob(
                data, length=len(data), validate_content=True, metadata=_metadata(data, token), **words
            )

        try:
            return str(self._container.ask(send)["etag"])
        except Declined as no:
            if (
                version is None and self._properties(name) is None
            ):  # blocks that were never committed are there
                return self._put_blocks(name, iter((data,)))
            return self._ours(name, token) if no.unsure else None

    def _ours(self, name: str, token: str) -> str | None:
        """The version there if it is the write that has this token, of which no answer came."""
        found = self._properties(name)
        return found.etag if found and found.metadata.get(TOKEN) == token else None

    def _put_blocks(self, name: str, pieces: Iterator[bytes]) -> str | None:
        """The version of the value that the pieces make; None if the key came to be there meanwhile."""
        there, hasher, token = self._staged(name), hashlib.sha256(), secrets.token_hex(12)

        def job(number: int, piece: bytes) -> Callable[[], str]:
            hasher.update(piece)
            return functools.partial(self._stage, name, number, piece, there)

        try:
            ids = list(self._lanes.in_order(map(job, itertools.count(), pieces)))
            metadata = {SHA256: hasher.hexdigest(), TOKEN: token}
            commit = functools.partial(_commit, name=name, ids=ids, metadata=metadata)
            return str(self._container.ask(commit)["etag"])
        except Declined as no:
            if self._properties(name) is None:
                raise RegistryError(
                    f"the upload of {name} to {self.url} was ended meanwhile", fix="Repeat the command"
                ) from no
            return self._ours(name, token) if no.unsure else None

    def _staged(self, name: str) -> dict[str, int]:
        """Size by id of the blocks that were sent and never committed; the service keeps them for a week."""
        try:
            _, blocks = self._container.ask(
                lambda client: client.get_blob_client(name).get_block_list("uncommitted")
            )
        except Declined:
            return {}
        return {block.id: block.size for block in blocks}

    def _stage(self, name: str, number: int, piece: bytes, there: dict[str, int]) -> str:
        block = f"{number:05}-{hashlib.sha256(piece).hexdigest()[:48]}"
        if there.get(block) != len(piece):
            self._container.ask(
                lambda client: client.get_blob_client(name).stage_block(
                    block, piece, length=len(piece), validate_content=True
                )
            )
        return block

    def _read(self, key: str, name: str, start: int, length: int | None) -> Iterator[bytes]:
        first = WINDOW if length is None else min(WINDOW, length)
        try:  # Azure knows no range of nothing: one byte of it tells as much
            found, data = self._container.ask(
                functools.partial(_fetch, name=name, at=start, length=max(1, first))
            )
        except Declined as no:
            if no.why == "range":
                return
            raise RegistryError(f"{self.url} has no {key}") from no
        size = int(found.content_range.rpartition("/")[2])
        end = size if length is None else min(size, start + length)
        data = data[: end - start]
        if len(data) != min(first, end - start):
            raise self._other_bytes()
        later = (
            functools.partial(self._window, key, name, at, min(WINDOW, end - at), found.etag)
            for at in range(start + WINDOW, end, WINDOW)
        )
        hasher = hashlib.sha256()
        for window in itertools.chain((data,), Lanes(WINDOWS).in_order(later)):
            hasher.update(window)
            view = memoryview(window)
            for at in range(0, len(view), CHUNK):
                yield bytes(view[at : at + CHUNK])
        if (start, end) == (0, size):
            self._check(key, found, hasher.hexdigest())

    def _window(self, key: str, name: str, at: int, length: int, version: str) -> bytes:
        ask = functools.partial(_fetch, name=name, at=at, length=length, **_matches(version))
        try:
            _, data = self._container.ask(ask)
        except Declined as no:
            raise RegistryError(
                f"{key} in {self.url} was changed while it was read", fix="Repeat the command"
            ) from no
        if len(data) != length:
            raise self._other_bytes()
        return data

    def _other_bytes(self) -> RegistryError:
        return RegistryError(f"{self.url} answers with other bytes than it was asked for")

    def _check(self, key: str, found: Any, sha256: str) -> None:
        """Raise RegistryError if the whole content is not what was written; that of others says nothing."""
        if found.metadata.get(SHA256, sha256) != sha256:
            raise RegistryError(
                f"{key} in {self.url} is not what its SHA-256 says",
                cause="it was damaged there or on the way",
                fix="Repeat the command; if it stays, use another registry that has it whole",
            )


def _matches(version: str) -> dict[str, Any]:
    from azure.core import MatchConditions

    return {"etag": version, "match_condition": MatchConditions.IfNotModified}


def _metadata(data: bytes, token: str) -> dict[str, str]:
    return {SHA256: hashlib.sha256(data).hexdigest(), TOKEN: token}


def _fetch(client: Any, name: str, at: int, length: int, **condition: Any) -> tuple[Any, bytes]:
    """What the service says of a blob, and these bytes of it."""
    answer = client.get_blob_client(name).download_blob(
        offset=at, length=length, max_concurrency=1, **condition
    )
    return answer.properties, bytes(answer.readall())


def _page(client: Any, begin: str, token: str | None) -> tuple[list[str], str | None]:
    pages = client.list_blob_names(name_starts_with=begin).by_page(token)
    return list(next(pages, ())), pages.continuation_token


def _commit(client: Any, name: str, ids: list[str], metadata: dict[str, str]) -> Any:
    from azure.core import MatchConditions
    from azure.storage.blob import BlobBlock

    blocks = [BlobBlock(block) for block in ids]
    return client.get_blob_client(name).commit_block_list(
        blocks, metadata=metadata, match_condition=MatchConditions.IfMissing
    )
