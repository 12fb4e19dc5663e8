"""One repository of an OCI registry with whatever lies in it: documents and blobs, of bundles or of
images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from mlship.digest import checked
from mlship.registry.oci import seen_blobs
from mlship.registry.oci.address import Address
from mlship.registry.oci.client import Client
from mlship.registry.oci.documents import Documents
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.reading import BlobReading
from mlship.registry.oci.transport import Response
from mlship.registry.oci.uploading import Uploading, mount


class Repository:
    """The repository that `address` names by its prefix. Safe for several threads."""

    def __init__(self, address: Address, patience: Patience | None = None) -> None:
        self.address = address
        self.name = address.prefix
        self.client = Client(address, patience)
        self.documents = Documents(self.client)

    @property
    def url(self) -> str:
        return self.address.url

    def digest_of(self, reference: str) -> str | None:
        """Of what a tag names; None if it names nothing."""
        return self.documents.digest_of(self.name, reference)

    def document(self, reference: str) -> bytes | None:
        """A manifest or index by tag or digest, not compared with it; None if there is none."""
        return self.documents.read(self.name, reference)

    def write_document(self, reference: str, data: bytes, media_type: str) -> None:
        """Under its digest or a tag. Raises Refused where the registry does not take it."""
        self.documents.write(self.name, reference, data, media_type)

    def has_blob(self, digest: str) -> bool:
        response = self.client.repeat(lambda: self._blob("HEAD", digest, {}, (200, 404)))
        return response.status == 200

    def blob(self, digest: str, size: int) -> Iterator[bytes]:
        """As it comes: whoever reads it checks it."""

        def ask(headers: Mapping[str, str]) -> Response:
            return self._blob("GET", digest, headers, (200, 206))

        return BlobReading(self.client, digest, size, ask).pieces()

    def take_blob(self, digest: str, near: tuple[str, str] | None) -> bool:
        """Have the blob mounted from `near` (root and repository), if that is in this registry, or from where
        it was last seen here; False if that cannot be."""
        known = seen_blobs.seen_in(self.address.root, digest)
        there = near[1] if near is not None and near[0] == self.address.root else known
        if there is None or there == self.name or not mount(self.client, self.name, digest, there):
            return False
        seen_blobs.remember(self.address.root, self.name, digest)
        return True

    def write_blob(self, digest: str, size: int, content: Callable[[], Iterable[bytes]]) -> None:
        """Send it; `content` gives its bytes anew for each try. Raises BundleError if they are not its
        own."""
        send = partial(checked, digest=digest, size=size)
        Uploading(self.client, self.name, digest, size, lambda: send(content())).run()
        seen_blobs.remember(self.address.root, self.name, digest)

    def _blob(self, method: str, digest: str, headers: Mapping[str, str], good: tuple[int, ...]) -> Response:
        return self.client.once(
            f"{'look for' if method == 'HEAD' else 'read'} the blob {digest[:19]}…",
            method,
            f"/v2/{self.name}/blobs/{digest}",
            scopes=(f"repository:{self.name}:pull",),
            headers=headers,
            good=good,
        )
