"""A Store in an S3 bucket (`s3://bucket/prefix`): one object per key, conditions decided by the bucket.

A version is an ETag, never looked into. Each small write carries a token of its own, so that a write whose
answer was lost is told from somebody else's. Needs s3:GetObject, PutObject, DeleteObject, ListBucket,
ListBucketMultipartUploads, ListMultipartUploadParts and AbortMultipartUpload.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from mlship.digest import CHUNK
from mlship.errors import RegistryError
from mlship.store.asking import Declined, Patience
from mlship.store.folder import MAX_GET, SMALL
from mlship.store.keys import check_key, check_prefix, is_segment
from mlship.store.parts import PART, Lanes, cut, measured, onward, part_size
from mlship.store.protocol import Stat
from mlship_aws.address import read_address
from mlship_aws.bucket import Bucket
from mlship_aws.checksum import Checksum, sha256_of
from mlship_aws.upload import MOST_PARTS, Upload, abort_stale

TOKEN = "mlship-write"  # noqa: S105  (the name of a piece of metadata)


class S3Store:
    """The Store at an `s3://` URL. Not tied to a thread."""

    def __init__(self, url: str, patience: Patience | None = None, part: int = PART) -> None:
        self.address = read_address(url)
        self._bucket = Bucket(self.address, patience or Patience())
        self._part, self._lanes, self._swept = part, Lanes(), False

    @property
    def url(self) -> str:
        return self.address.url

    def stat(self, key: str) -> Stat | None:
        """See Store."""
        found = self._head(key)
        return Stat(found["ContentLength"], found["ETag"]) if found else None

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Chunks of at most 1 MiB, all of one version: what is cut off is asked for again from there."""
        name = self._name(key)
        if length == 0:
            if self._head(key) is None:
                raise self._absent(key)
            return iter(())
        return self._read(key, name, start, None if length is None else start + length)

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A small value and its version."""
        opened = self._open(key, self._name(key), 0, None, None)
        if opened is None:
            return None
        answer, version = opened, opened["ETag"]
        if answer["ContentLength"] > MAX_GET:
            answer["Body"].close()
            raise RegistryError(f"{key} in {self.url} is too large to be read at once")
        return b"".join(self._stream(key, self._name(key), 0, None, answer)), version

    def write_if_absent(self, key: str, chunks: Iterable[bytes], size: int | None = None) -> bool:
        """See Store; the chunks are not asked for if the key is there. Above a part in parts, of which those
        that a killed writer sent are not sent again."""
        name = self._name(key)
        if self._head(key) is not None:
            return False
        part = part_size(size, MOST_PARTS, self._part)
        pieces = cut(measured(chunks, key, size), part)
        ahead = list(itertools.islice(pieces, 2))
        if len(ahead) == 1:
            return self._put(name, ahead[0], IfNoneMatch="*") is not None
        written = Upload(self._bucket, name, part, self._lanes).send(onward(ahead, pieces))
        self._sweep()
        return written

    def write_if_match(self, key: str, data: bytes, version: str | None) -> str | None:
        """See Store."""
        if len(data) > SMALL:
            raise RegistryError(
                f"{len(data)} bytes are too many for {key}", cause=f"at most {SMALL} can be compared"
            )
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        return self._put(self._name(key), data, **condition)

    def delete_if_match(self, key: str, version: str) -> bool:
        """See Store."""
        found = self._head(key)
        if found is None or found["ETag"] != version:
            return False
        try:
            self._bucket.ask("delete_object", Key=self._name(key), IfMatch=version)
        except Declined as no:
            return no.unsure and self._head(key) is None
        return True

    def list(self, prefix: str) -> Iterator[str]:
        """See Store; one request for each 1000 keys."""
        words: dict[str, Any] = {"Prefix": self.address.prefix + check_prefix(prefix)}
        while True:
            page = self._bucket.ask("list_objects_v2", **words)
            for entry in page.get("Contents", ()):
                key = entry["Key"][len(self.address.prefix) :]
                if all(is_segment(part) for part in key.split("/")):
                    yield key
            if not page.get("IsTruncated"):
                return
            words["ContinuationToken"] = page["NextContinuationToken"]

    def _name(self, key: str) -> str:
        return self.address.prefix + check_key(key)

    def _absent(self, key: str) -> RegistryError:
        return RegistryError(f"{self.url} has no {key}")

    def _head(self, key: str) -> Any:
        try:
            return self._bucket.ask("head_object", Key=self._name(key))
        except Declined:
            return None

    def _put(self, name: str, data: bytes, **condition: str) -> str | None:
        """The version that `data` has now; None if the condition does not hold."""
        token = secrets.token_hex(12)
        try:
            answer = self._bucket.ask(
                "put_object",
                Key=name,
                Body=data,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=sha256_of(data),
                Metadata={TOKEN: token},
                **condition,
            )
        except Declined as no:
            if no.why != "condition" and "IfNoneMatch" in condition:
                raise RegistryError(f"{self.url} cannot be written to", fix="Look at its URL") from no
            return self._ours(name, token) if no.unsure else None
        return str(answer["ETag"])

    def _ours(self, name: str, token: str) -> str | None:
        """The version there if it is the write that has this token, of which no answer came."""
        try:
            found = self._bucket.ask("head_object", Key=name)
        except Declined:
            return None
        return found["ETag"] if found.get("Metadata", {}).get(TOKEN) == token else None

    def _read(self, key: str, name: str, start: int, end: int | None) -> Iterator[bytes]:
        answer = self._open(key, name, start, end, None)
        if answer is None:
            raise self._absent(key)
        yield from self._stream(key, name, start, end, answer)

    def _open(self, key: str, name: str, at: int, end: int | None, version: str | None) -> Any:
        """The answer with the bytes from `at` to `end` of this version (None: of the newest); None if there
        is no such key."""
        words: dict[str, Any] = {"IfMatch": version} if version else {}
        if at or end is not None:
            words["Range"] = f"bytes={at}-{'' if end is None else end - 1}"
        try:
            answer = self._bucket.ask("get_object", Key=name, ChecksumMode="ENABLED", **words)
        except Declined as no:
            if no.why == "range":
                return {"ETag": version, "Body": io.BytesIO(), "ContentLength": 0}
            if no.why == "absent":
                return None
            raise RegistryError(
                f"{key} in {self.url} was changed while it was read", fix="Repeat the command"
            ) from no
        if "Range" in words and not str(answer.get("ContentRange")).startswith(f"bytes {at}-"):
            answer["Body"].close()
            raise RegistryError(
                f"{self.url} answers with other bytes than it was asked for",
                cause="the server or a proxy does not know ranges",
                fix="Look at AWS_ENDPOINT_URL and HTTPS_PROXY",
            )
        return answer

    def _sweep(self) -> None:
        if not self._swept:
            self._swept = True
            with contextlib.suppress(RegistryError):  # the value is written
                abort_stale(self._bucket, self.address.prefix)

    def _stream(self, key: str, name: str, start: int, end: int | None, answer: Any) -> Iterator[bytes]:
        """The body of `answer`, opened anew where it is cut off, and checked if it is all there is."""
        version, checksum = answer["ETag"], Checksum(answer) if start == 0 and end is None else None
        trial, at = self._bucket.trial(), start
        while True:
            try:
                with contextlib.closing(answer["Body"]) as body:
                    for chunk in iter(lambda body=body: body.read(CHUNK), b""):  # type: ignore[misc]
                        at += len(chunk)
                        if checksum:
                            checksum.update(chunk)
                        if len(chunk) == CHUNK:
                            trial.went_on()
                        yield chunk
                break
            except self._bucket.interruptions as error:
                self._bucket.pause(trial, error)
            answer = self._open(key, name, at, end, version)
            if answer is None:
                raise self._absent(key)
        if checksum and not checksum.fits():
            raise RegistryError(
                f"{key} in {self.url} is not what its SHA-256 says",
                cause="it was damaged there or on the way",
                fix="Repeat the command; if it stays, use another registry that has it whole",
            )
