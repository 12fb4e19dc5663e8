"""The Registry of an MLflow server: each bundle is a version of a registered model, whose artifacts are the
bundle as an OCI image layout, what is attached to it, and what MLflow needs to serve it.

MLflow cannot compare and set: `set_tag` looks right before and right after it writes. Bundles do
not share artifacts, so a blob is sent once for each that has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from mlship.bundle.exchange.layout import blob_path
from mlship.bundle.fault import as_bundle_error
from mlship.bundle.source import MAX_ATTACHMENT, Attachment
from mlship.digest import hex_of, sha256
from mlship.errors import BundleError, RegistryError, UsageError
from mlship.reference import NAME, Reference, check_name, check_tag
from mlship.registry import unknown
from mlship.registry.attached import whole
from mlship.registry.mlflow.address import Address, parse_address
from mlship.registry.mlflow.artifacts import Folder
from mlship.registry.mlflow.attaching import Attaching
from mlship.registry.mlflow.catalogue import Catalogue, Version, number_in
from mlship.registry.mlflow.client import Client
from mlship.registry.mlflow.drafts import Drafts
from mlship.registry.mlflow.pushing import BLOBS, Pushing
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.trouble import Refused
from mlship.registry.protocol import Listed, Tagged
from mlship.registry.tags import moved
from mlship_runtime.bundle.canonical import MAX_BYTES
from mlship_runtime.bundle.manifest import read_manifest


def open_mlflow(url: str) -> MlflowRegistry:
    """The registry at an `mlflow://` URL. Nothing is asked for yet."""
    return MlflowRegistry(parse_address(url))


class MlflowRegistry:
    """See Registry. Safe for several threads, but that a name is pushed by one copy at a time."""

    def __init__(self, address: Address, patience: Patience | None = None) -> None:
        self.address = address
        self.client = Client(address, patience)
        self.catalogue = Catalogue(self.client)
        self.drafts = Drafts(self.client)
        self._pushes: dict[str, Pushing] = {}
        # Where each blob of a manifest that was read lies, by (name, digest).
        self._folders: dict[tuple[str, str], Folder] = {}

    @property
    def url(self) -> str:
        return self.address.url

    def names(self) -> list[str]:
        return sorted({version.name for version in self._bundles()})

    def tags(self, name: str) -> dict[str, str]:
        digests = {version.number: version.digest for version in self._versions(name)}
        named = self.catalogue.named(self._model(name)) or {} if digests else {}
        return {tag: digests[number] for tag, number in named.items() if number in digests}

    def listed(self, name: str | None = None) -> list[Listed]:
        versions = self._bundles() if name is None else self._versions(name)
        named = self.catalogue.all_named() if versions else {}
        found = {Listed(version.name, "", version.digest) for version in versions}
        for version in versions:
            tags = named.get(version.model, {})
            found |= {
                Listed(version.name, tag, version.digest) for tag in tags if tags[tag] == version.number
            }
        return sorted(found)

    def digests(self, name: str) -> list[str]:
        return sorted({version.digest for version in self._versions(name)})

    def has_manifest(self, name: str, digest: str) -> bool:
        return any(version.digest == digest for version in self._versions(name))

    def resolve(self, reference: Reference) -> str:
        """A tag that is a number and not set names the version of that number, as in `models:/churn/3`."""
        name, tag = reference.name, reference.tag_or_latest
        if reference.digest:
            if not self.has_manifest(name, reference.digest):
                raise unknown.digest(self, name, reference.digest)
            return reference.digest
        versions = {version.number: version for version in self._versions(name)}
        named = self.catalogue.named(self._model(name)) or {}
        number = named.get(tag, number_in(tag))
        if number in versions:
            return versions[number].digest
        if tag in named:
            raise self._no_bundle(name, tag, named[tag])
        raise unknown.tag(self, name, tag)

    def read_manifest(self, name: str, digest: str) -> bytes:
        versions = [version for version in self._versions(name) if version.digest == digest]
        for version in versions:
            folder = self._folder(version)
            data = folder.read(blob_path(digest), MAX_BYTES) if folder else None
            if folder and data is not None and sha256(data) == digest:
                with as_bundle_error():
                    blobs = read_manifest(data).blobs
                self._folders |= {(name, blob.digest): folder for blob in blobs}
                self._folders[name, digest] = folder
                return data
        if not versions:
            raise unknown.digest(self, name, digest)
        numbers = " and ".join(str(version.number) for version in versions)
        raise BundleError(
            f"version {numbers} of {self._model(name)} in {self.url} is not the bundle {digest[:19]}…",
            cause="its tag mlship.digest was set by hand, or its artifacts were changed or removed",
            fix="Push the bundle again, or use another registry that has it whole",
        )

    @contextmanager
    def announced(self, name: str, manifest: str, blobs: Collection[str]) -> Iterator[None]:
        """What follows is a push of the bundle `manifest`: its blobs go to one place, found again by it."""
        registered = {
            version.number: folder
            for version in self._versions(name)
            if version.digest == manifest and (folder := self._folder(version))
        }
        push = Pushing(self.client, self.catalogue, self.drafts, self._model(name), name, manifest)
        push.find(registered)
        self._pushes[name] = push
        try:
            yield
        finally:
            del self._pushes[name]

    def has_blob(self, name: str, digest: str) -> bool:
        push = self._pushes.get(name)
        return push.has(digest) if push else self._folder_of(name, digest) is not None

    def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
        folder = self._folder_of(name, digest)
        if folder is None:
            raise RegistryError(
                f"{self.url} has no blob {digest[:19]}… of {name}", cause="it was removed there"
            )
        return folder.pieces(blob_path(digest), digest, size)

    def write_blob(self, name: str, digest: str, size: int, chunks: Iterable[bytes]) -> bool:
        """`chunks` that can be gone through again (a list, not an iterator) are sent again after a cut."""
        return self._push(name).write(digest, size, chunks)

    def write_manifest(self, name: str, data: bytes) -> str:
        return self._push(name).publish(data)

    def attach(self, name: str, digest: str, media_type: str, data: bytes) -> Attachment:
        if len(data) > MAX_ATTACHMENT:
            raise RegistryError(
                f"{len(data)} bytes cannot be attached to {name}", cause=f"at most {MAX_ATTACHMENT} can"
            )
        self.read_manifest(name, digest)
        return Attaching(self._folders[name, digest]).add(media_type, data)

    def attachments(self, name: str, digest: str) -> list[Attachment]:
        if not self.has_manifest(name, digest):
            return []
        self.read_manifest(name, digest)
        attaching = Attaching(self._folders[name, digest])
        found = attaching.listed()
        self._folders |= {(name, attachment.digest): attaching.folder for attachment in found}
        return found

    def read_attachment(self, name: str, attachment: Attachment) -> bytes:
        folder = self._folders.get((name, attachment.digest))
        if folder is None:
            raise RegistryError(f"{self.url} has no attachment {attachment.digest[:19]}… of {name}")
        return whole(Attaching(folder).pieces(attachment), name, attachment, self.url)

    def read_tag(self, name: str, tag: str) -> Tagged | None:
        number = (self.catalogue.named(self._model(name)) or {}).get(check_tag(tag))
        digests = {version.number: version.digest for version in self._versions(name)} if number else {}
        return Tagged(digests[number], str(number)) if number in digests else None

    def set_tag(
        self, name: str, tag: str, digest: str, expected: Tagged | None, *, source: str = ""
    ) -> Tagged:
        """TagMovedError also if the tag names something else right after it was written. Not seen is who
        writes it, and finds it right, all between our look and our writing: a window of one request."""
        model = self._model(name)
        versions = self._versions(name)
        number = self._number_of(versions, digest)
        if number is None:
            raise unknown.digest(self, name, digest)
        now = (self.catalogue.named(model) or {}).get(check_tag(tag))
        if now and now not in {version.number for version in versions} and self.catalogue.version(model, now):
            raise self._no_bundle(name, tag, now)
        self._must_be(name, tag, expected.digest if expected else None)
        self.catalogue.set_tag(model, tag, number)
        self._must_be(name, tag, digest)
        return Tagged(digest, str(number))

    def delete_tag(self, name: str, tag: str, expected: Tagged) -> None:
        self._must_be(name, tag, expected.digest)
        self.catalogue.delete_tag(self._model(name), tag)

    def _must_be(self, name: str, tag: str, digest: str | None) -> None:
        now = self.read_tag(name, tag)
        if (now.digest if now else None) != digest:
            raise moved(name, tag)

    def _model(self, name: str) -> str:
        return self.address.registered(check_name(name))

    def _versions(self, name: str) -> list[Version]:
        """The versions that are bundles called `name`; the first ones first."""
        return [x for x in self.catalogue.versions(self._model(name)) if x.name == name and x.digest]

    def _bundles(self) -> list[Version]:
        """The versions that are bundles, and registered where this registry looks for them."""
        found = [
            x for x in self.catalogue.versions(self.address.model) if x.digest and NAME.fullmatch(x.name)
        ]
        return [x for x in found if x.model == self.address.registered(x.name)]

    def _number_of(self, versions: list[Version], digest: str) -> int | None:
        """The version that is a bundle: of several that say so, the first that has its manifest."""
        found = [version for version in versions if version.digest == digest]
        for version in found if len(found) > 1 else ():
            folder = self._folder(version)
            if folder and hex_of(digest) in folder.listed(BLOBS):
                return version.number
        return found[0].number if found else None

    def _push(self, name: str) -> Pushing:
        if name not in self._pushes:
            raise UsageError(f"{self.url} takes whole bundles only", fix="Use: mlship push, or mlship copy")
        return self._pushes[name]

    def _folder(self, version: Version) -> Folder | None:
        """The artifacts of a version; None if it was removed meanwhile."""
        try:
            return Folder(self.client, self.catalogue.uri_of(version.model, version.number))
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise

    def _folder_of(self, name: str, digest: str) -> Folder | None:
        """Where a blob lies: by what was read of manifests, else by looking everywhere."""
        if (name, digest) not in self._folders:
            for version in self._versions(name):
                folder = self._folder(version)
                there = folder.listed(BLOBS) if folder else {}
                self._folders |= {(name, f"sha256:{digits}"): folder for digits in there if folder}
        return self._folders.get((name, digest))

    def _no_bundle(self, name: str, tag: str, number: int) -> RegistryError:
        return RegistryError(
            f"{tag} names version {number} of {self._model(name)} in {self.url}, which is no bundle",
            cause="it was logged by MLflow itself, or removed",
            fix="Take another tag, or remove the alias in MLflow first",
        )
