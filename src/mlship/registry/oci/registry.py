"""The Registry in an OCI registry: a bundle NAME is the repository PREFIX/NAME, manifest and tags are OCI's.

An OCI registry cannot compare and set: `set_tag` looks right before and right after it writes. It lists no
manifests without a tag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from urllib.parse import quote

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.source import MAX_ATTACHMENT, Attachment, BundleSource
from mlship.digest import checked, sha256
from mlship.errors import BundleError, RegistryError
from mlship.reference import NAME, Reference, check_name, check_tag
from mlship.registry import unknown
from mlship.registry.again import again
from mlship.registry.attached import whole
from mlship.registry.flow import Flow
from mlship.registry.oci import policy_artifact, seen_blobs
from mlship.registry.oci.address import Address, parse_address
from mlship.registry.oci.carrier import carried_bundle
from mlship.registry.oci.client import Client
from mlship.registry.oci.documents import Documents
from mlship.registry.oci.kept import Found, Kept
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.profiles import profile_of
from mlship.registry.oci.reading import BlobReading
from mlship.registry.oci.referrers import EMPTY, FALLBACK_TAG, Referrers, attached_manifest
from mlship.registry.oci.transport import Response
from mlship.registry.oci.trouble import NotLetIn, Refused
from mlship.registry.oci.uploading import Uploading, mount
from mlship.registry.protocol import BlobsMissingError, Listed, Tagged
from mlship.registry.tags import moved
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.manifest import ARTIFACT_TYPE, read_manifest
from mlship_runtime.errors import InvalidBundle


def open_oci(url: str) -> OciRegistry:
    """The registry at an `oci://` URL. Nothing is asked for yet."""
    return OciRegistry(parse_address(url))


class OciRegistry:
    """See Registry. Safe for several threads."""

    def __init__(self, address: Address, patience: Patience | None = None) -> None:
        self.address = address
        self.client = Client(address, patience)
        self.documents = Documents(self.client)
        self.referrers = Referrers(self.documents)
        self.kept = Kept(self.documents, self, profile_of(address.host), self._repository)
        # The length of each (repository, blob) that this process has seen there; -1 where it was not said.
        self._there: dict[tuple[str, str], int] = {}

    @property
    def url(self) -> str:
        return self.address.url

    def names(self) -> list[str]:
        before = self.address.prefix + "/" if self.address.prefix else ""
        try:
            repositories = self.documents.repositories()
        except (Refused, NotLetIn) as no:
            raise RegistryError(
                f"{self.url} does not list what it has",
                cause=no.cause or "not to those who are not logged in",
                fix="Name a bundle, too, or log in as somebody who may see all",
            ) from None
        found = {x.removeprefix(before) for x in repositories if x.startswith(before)}
        return sorted(name for name in found if NAME.fullmatch(name) and name != policy_artifact.NAME)

    def tags(self, name: str) -> dict[str, str]:
        found: dict[str, str] = {}

        def look(tag: str) -> None:
            digest = self._bundle_named(name, tag)
            if digest:
                found[tag] = digest

        Flow().each(look, self._tag_names(name))
        return dict(sorted(found.items()))

    def listed(self, name: str | None = None) -> list[Listed]:
        names = self.names() if name is None else [name]
        return [Listed(one, tag, digest) for one in names for tag, digest in self.tags(one).items()]

    def digests(self, name: str) -> list[str]:
        return sorted(set(self.tags(name).values()))

    def has_manifest(self, name: str, digest: str) -> bool:
        return self.kept.digest_of(name, digest) is not None

    def resolve(self, reference: Reference) -> str:
        name, wanted = reference.name, reference.digest or reference.tag_or_latest
        digest = self.kept.digest_of(name, wanted)
        if digest is None:
            raise self._unknown(reference)
        return reference.digest or digest

    def read_manifest(self, name: str, digest: str) -> bytes:
        return self._found(name, digest).manifest

    def _found(self, name: str, digest: str) -> Found:
        found = self.kept.find(name, digest)
        if found is None:
            raise self._unknown(Reference(name, digest=digest))
        if sha256(found.manifest) != digest:
            raise BundleError(
                f"the manifest {digest[:19]}… of {name} in {self.url} is not what its digest says",
                cause="it was damaged or exchanged there",
                fix="Use another registry that has it whole",
            )
        return found

    def write_manifest(self, name: str, data: bytes) -> str:
        with as_bundle_error():
            manifest = read_manifest(data)
        missing = [blob.digest for blob in manifest.blobs if not self.has_blob(name, blob.digest)]
        if missing:
            raise self._lacking(name, missing)
        for blob in manifest.blobs:
            length = self._there[self._repository(name), blob.digest]
            if length not in (-1, blob.size):
                raise BundleError(
                    f"the blob {blob.digest[:19]}… in {self.url} has {length} bytes and not {blob.size}",
                    cause="it was damaged there",
                    fix="Have it removed there, then push again",
                )
        digest = sha256(data)
        try:
            self.kept.write(name, data)
        except Refused as refusal:
            if "MANIFEST_BLOB_UNKNOWN" not in refusal.codes and "BLOB_UNKNOWN" not in refusal.codes:
                raise
            self._there.clear()  # collected there since we looked
            gone = [blob.digest for blob in manifest.blobs if not self.has_blob(name, blob.digest)]
            raise self._lacking(name, gone) from None
        return digest

    def has_blob(self, name: str, digest: str) -> bool:
        repository = self._repository(name)
        if (repository, digest) in self._there:
            return True
        path = f"/v2/{repository}/blobs/{digest}"
        response = self.client.repeat(
            lambda: self.client.once(
                f"look for the blob {digest[:19]}…",
                "HEAD",
                path,
                scopes=(f"repository:{repository}:pull",),
                good=(200, 404),
            )
        )
        if response.status == 200:
            length = response.headers.get("Content-Length", "")
            self._saw(repository, digest, int(length) if length.isascii() and length.isdigit() else -1)
        return response.status == 200

    def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
        ask = partial(self._ask_for_blob, self._repository(name), digest)
        return BlobReading(self.client, digest, size, ask).pieces()

    def write_blob(self, name: str, digest: str, size: int, chunks: Iterable[bytes]) -> bool:
        """`chunks` that can be gone through again (a list, not an iterator) are sent again after a cut."""
        return self._upload(name, digest, size, again(chunks))

    def mount_blob(self, name: str, digest: str, source: BundleSource) -> bool:
        repository = self._repository(name)
        known = seen_blobs.seen_in(self.address.root, digest)
        near = isinstance(source, OciRegistry) and source.address.root == self.address.root
        there = source.address.repository(name) if near and isinstance(source, OciRegistry) else known
        if there is None or there == repository or not mount(self.client, repository, digest, there):
            return False
        self._saw(repository, digest, -1)
        return True

    def attach(self, name: str, digest: str, media_type: str, data: bytes) -> Attachment:
        if len(data) > MAX_ATTACHMENT:
            raise RegistryError(
                f"{len(data)} bytes cannot be attached to {name}", cause=f"at most {MAX_ATTACHMENT} can"
            )
        subject = self.read_manifest(name, digest)
        for blob in (data, EMPTY):
            self.write_blob(name, sha256(blob), len(blob), [blob])
        manifest = attached_manifest(media_type, data, subject)
        attachment = Attachment(media_type, sha256(data), len(data))
        try:
            self.referrers.add(self._repository(name), digest, manifest, media_type)
        except Refused as refusal:
            self.kept.attach_instead(name, digest, attachment, refusal)
        return attachment

    def attachments(self, name: str, digest: str) -> list[Attachment]:
        return sorted(
            {*self.referrers.of(self._repository(name), digest), *self.kept.attachments(name, digest)}
        )

    def read_attachment(self, name: str, attachment: Attachment) -> bytes:
        stored = self.read_blob(name, attachment.digest, attachment.size)
        return whole(stored, name, attachment, self.url)

    def read_tag(self, name: str, tag: str) -> Tagged | None:
        digest = self.kept.digest_of(name, check_tag(tag))
        return Tagged(digest, digest) if digest else None

    def set_tag(
        self, name: str, tag: str, digest: str, expected: Tagged | None, *, source: str = ""
    ) -> Tagged:
        """TagMovedError also if the tag names something else right after it was written. Not seen is who
        writes it, and finds it right, all between our look and our writing: a window of one request."""
        found = self._found(name, digest)
        self._must_be(name, tag, expected.digest if expected else None)
        self.kept.tag(name, check_tag(tag), found)
        self._must_be(name, tag, digest)
        return Tagged(digest, digest)

    def delete_tag(self, name: str, tag: str, expected: Tagged) -> None:
        self._must_be(name, tag, expected.digest)
        try:
            self.documents.delete_tag(self._repository(name), check_tag(tag))
        except Refused as refusal:
            raise RegistryError(
                f"{self.url} removes no tags",
                cause=refusal.cause,
                fix="Its administrator can, or move the tag",
            ) from None

    def read_policy(self) -> tuple[bytes, str] | None:
        return policy_artifact.read(self.documents, self._repository(policy_artifact.NAME), self.read_blob)

    def write_policy(self, data: bytes, version: str | None) -> bool:
        repository = self._repository(policy_artifact.NAME)
        return policy_artifact.write(self.documents, repository, data, version, self.write_blob)

    def _must_be(self, name: str, tag: str, digest: str | None) -> None:
        now = self.read_tag(name, tag)
        if (now.digest if now else None) != digest:
            raise moved(name, tag)

    def _upload(self, name: str, digest: str, size: int, content: Callable[[], Iterable[bytes]]) -> bool:
        if self.has_blob(name, digest):
            return False
        repository = self._repository(name)
        Uploading(self.client, repository, digest, size, lambda: checked(content(), digest, size)).run()
        self._saw(repository, digest, size)
        return True

    def _saw(self, repository: str, digest: str, length: int) -> None:
        self._there[repository, digest] = length
        seen_blobs.remember(self.address.root, repository, digest)

    def _ask_for_blob(self, repository: str, digest: str, headers: Mapping[str, str]) -> Response:
        return self.client.once(
            f"read the blob {digest[:19]}…",
            "GET",
            f"/v2/{repository}/blobs/{digest}",
            scopes=(f"repository:{repository}:pull",),
            headers=headers,
            good=(200, 206),
        )

    def _tag_names(self, name: str) -> list[str]:
        tags = self.documents.tags(self._repository(name))
        return sorted(tag for tag in tags if not FALLBACK_TAG.fullmatch(tag))

    def _bundle_named(self, name: str, tag: str) -> str | None:
        """The digest of the bundle that a tag names; None if it names something else."""
        data = self.documents.read(self._repository(name), quote(tag))
        try:
            value = canonical.decode(data or b"null")
        except InvalidBundle:
            return None
        if not isinstance(value, dict) or data is None:
            return None
        if value.get("artifactType") == ARTIFACT_TYPE:
            return sha256(data)
        carried = carried_bundle(data)
        return carried[0] if carried else None

    def _repository(self, name: str) -> str:
        return self.address.repository(check_name(name))

    def _lacking(self, name: str, digests: list[str]) -> BlobsMissingError:
        named = ", ".join(f"{digest[:19]}…" for digest in digests) or "one that it does not name"
        return BlobsMissingError(
            f"{name} cannot be published in {self.url}",
            cause=f"blobs are not there: {named}",
            fix="Push the bundle again",
        )

    def _unknown(self, reference: Reference) -> RegistryError:
        name = reference.name
        tags = self._tag_names(name)
        try:
            names = [name] if tags else self.names()
        except RegistryError:
            names = [name]
        if name in names and (reference.digest or not tags):
            wanted = f"{name}@{reference.digest[:19]}…" if reference.digest else str(reference)
            return RegistryError(f"{self.url} has no {wanted}", cause="it was not pushed there, or removed")
        return unknown.tag(_Known(self.url, names, tags), name, reference.tag_or_latest)


class _Known:
    """What was listed without reading each manifest: enough for an error. See unknown.Catalogue."""

    def __init__(self, url: str, names: list[str], tags: list[str]) -> None:
        self.url, self._names, self._tags = url, names, tags

    def names(self) -> list[str]:
        return self._names

    def tags(self, name: str) -> dict[str, str]:
        return dict.fromkeys(self._tags, "")

    def digests(self, name: str) -> list[str]:
        return []
