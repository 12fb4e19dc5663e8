"""A long value in parts: the condition on CompleteMultipartUpload, SHA-256 with each part, and a killed
writer's parts used again.

An upload is left open when its writer dies or the network does, for the next one to go on with; what nobody
came back for in a week is aborted by whoever writes next.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mlship.errors import BundleError, RegistryError
from mlship.store.asking import Declined
from mlship.store.parts import Lanes, LengthError, onward
from mlship_aws.bucket import Bucket
from mlship_aws.checksum import PART_SIZE, composite, sha256_of

MOST_PARTS = 10_000
STALE = timedelta(days=7)


@dataclass(frozen=True)
class _Part:
    number: int
    etag: str
    size: int
    sha256: str


class Upload:
    """One value on its way to the object `name`."""

    def __init__(self, bucket: Bucket, name: str, part: int, lanes: Lanes) -> None:
        self._bucket, self._name, self._part, self._lanes = bucket, name, part, lanes
        self._id = ""
        self._there: dict[int, _Part] = {}

    def send(self, pieces: Iterator[bytes]) -> bool:
        """Send what is not there yet and publish it; False if the object came to be there meanwhile."""
        ahead = [next(pieces)]
        self._begin(sha256_of(ahead[0]))
        try:
            jobs = map(self._job, itertools.count(1), onward(ahead, pieces))
            done = list(self._lanes.in_order(jobs))
        except Declined as no:
            return self._overtaken(no)
        except (BundleError, LengthError):  # what came is not what was announced: nobody can go on with this
            self._abort()
            raise
        return self._complete(done)

    def _job(self, number: int, piece: bytes) -> Callable[[], _Part]:
        if number > MOST_PARTS:
            raise RegistryError(f"{self._name} is too long for parts of {self._part} bytes")
        return partial(self._send, number, piece)

    def _begin(self, sha256: str) -> None:
        """Go on with the upload of the same value (its first part has this SHA-256) that has come furthest,
        or begin one."""
        for upload in _uploads(self._bucket, self._name):
            if upload["Key"] != self._name:
                continue
            parts = self._parts(upload["UploadId"])
            if 1 in parts and parts[1].sha256 == sha256 and len(parts) > len(self._there):
                self._id, self._there = upload["UploadId"], parts
        if not self._id:
            answer = self._bucket.ask(
                "create_multipart_upload",
                Key=self._name,
                ChecksumAlgorithm="SHA256",
                Metadata={PART_SIZE: str(self._part)},
            )
            self._id = answer["UploadId"]

    def _parts(self, upload: str) -> dict[int, _Part]:
        words: dict[str, Any] = {"Key": self._name, "UploadId": upload}
        found: dict[int, _Part] = {}
        while True:
            try:
                page = self._bucket.ask("list_parts", **words)
            except Declined:  # completed or aborted meanwhile
                return {}
            for part in page.get("Parts", ()):
                number = part["PartNumber"]
                found[number] = _Part(number, part["ETag"], part["Size"], part.get("ChecksumSHA256", ""))
            if not page.get("IsTruncated"):
                return found
            words["PartNumberMarker"] = page["NextPartNumberMarker"]

    def _send(self, number: int, piece: bytes) -> _Part:
        sha256 = sha256_of(piece)
        there = self._there.get(number)
        if there and (there.size, there.sha256) == (len(piece), sha256):
            return there
        answer = self._bucket.ask(
            "upload_part",
            Key=self._name,
            UploadId=self._id,
            PartNumber=number,
            Body=piece,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=sha256,
        )
        return _Part(number, answer["ETag"], len(piece), sha256)

    def _complete(self, parts: list[_Part]) -> bool:
        named = [
            {"PartNumber": part.number, "ETag": part.etag, "ChecksumSHA256": part.sha256} for part in parts
        ]
        try:
            answer = self._bucket.ask(
                "complete_multipart_upload",
                Key=self._name,
                UploadId=self._id,
                MultipartUpload={"Parts": named},
                IfNoneMatch="*",
            )
        except Declined as no:
            return self._overtaken(no)
        expected = composite([part.sha256 for part in parts])
        if answer.get("ChecksumSHA256", expected) not in (expected, expected.partition("-")[0]):
            raise RegistryError(
                f"{self._name} in s3://{self._bucket.address.bucket} is not what was sent",
                cause="the server names another SHA-256",
                fix="Remove it there and repeat the command",
            )
        return True

    def _overtaken(self, no: Declined) -> bool:
        """What it means that the upload is gone or the object there: somebody else was faster, or we were,
        and the answer was lost. The value is the same in either case."""
        try:
            self._bucket.ask("head_object", Key=self._name)
        except Declined:
            raise RegistryError(
                f"the upload of {self._name} to s3://{self._bucket.address.bucket} was ended meanwhile",
                fix="Repeat the command",
            ) from no
        self._abort()
        return no.unsure

    def _abort(self) -> None:
        with contextlib.suppress(Declined, RegistryError):  # the week's end takes what stays
            self._bucket.ask("abort_multipart_upload", Key=self._name, UploadId=self._id)


def abort_stale(bucket: Bucket, prefix: str) -> None:
    """End the uploads that nobody came back for in a week."""
    now: datetime | None = None
    for upload in _uploads(bucket, prefix):
        now = now or datetime.now(upload["Initiated"].tzinfo)
        if now - upload["Initiated"] > STALE:
            with contextlib.suppress(Declined, RegistryError):
                bucket.ask("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])


def _uploads(bucket: Bucket, prefix: str) -> Iterable[Any]:
    """The open uploads of keys with this prefix, a thousand at most; none where we may not look."""
    from mlship_aws.trouble import DeniedError

    try:
        return list(bucket.ask("list_multipart_uploads", Prefix=prefix).get("Uploads", ()))
    except DeniedError:
        return []
