"""Reads and writes the JSON documents of a registry: manifests by tag or digest, and lists in pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

from mlship.bundle.fault import as_bundle_error
from mlship.digest import sha256
from mlship.errors import BundleError, RegistryError
from mlship.reference import TAG
from mlship.registry.oci.client import Client
from mlship.registry.oci.trouble import Refused
from mlship.registry.oci.uploading import push_scopes
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.canonical import MAX_BYTES
from mlship_runtime.bundle.manifest import MANIFEST_TYPE

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_ACCEPTED = (
    MANIFEST_TYPE,
    INDEX_TYPE,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NEXT = re.compile(r'<([^<>]{1,2000})>\s*;\s*rel="?next"?', re.IGNORECASE)
_MAX_PAGES = 10_000
_PAGE = 1000


class Documents:
    """What is not a blob."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def digest_of(self, repository: str, reference: str) -> str | None:
        """The digest of what a tag or digest names; None if there is none. The registry's word is taken: what
        is read by it later is compared with it."""
        response = self.client.repeat(lambda: self._manifest("HEAD", repository, reference))
        if response.status == 404:
            return None
        said: str = response.headers.get("Docker-Content-Digest", "")
        if _DIGEST.fullmatch(said):
            return said
        data = self.read(repository, reference)
        return None if data is None else sha256(data)

    def read(self, repository: str, reference: str) -> bytes | None:
        """A manifest's bytes, MAX_BYTES at most; None if there is none."""

        def tried() -> bytes | None:
            response = self._manifest("GET", repository, reference)
            if response.status == 404:
                self.client.transport.discard(response)
                return None
            return self.client.transport.whole(response, MAX_BYTES)

        return self.client.repeat(tried)

    def write(self, repository: str, reference: str, data: bytes, media_type: str) -> bool:
        """Store a manifest under its digest or a tag; whether the registry saw what it refers to (`subject`).

        Raises BundleError if the registry then calls it something else.
        """

        def tried() -> tuple[str, bool]:
            response = self.client.once(
                f"store the manifest of {repository}",
                "PUT",
                f"/v2/{repository}/manifests/{quote(reference, safe=':')}",
                scopes=push_scopes(repository),
                headers={"Content-Type": media_type, "Content-Length": str(len(data))},
                body=lambda: data,
                good=(201,),
            )
            self.client.transport.discard(response)
            return response.headers.get("Docker-Content-Digest", ""), "OCI-Subject" in response.headers

        said, seen = self.client.repeat(tried)
        if said and said != sha256(data):
            raise BundleError(
                f"{self.client.address.url} has stored another manifest of {repository} than was sent",
                cause=f"it calls it {said[:80]}",
                fix="Use a registry that keeps OCI manifests as they are",
            )
        return seen

    def delete_tag(self, repository: str, tag: str) -> None:
        """Raises Refused if the registry removes no tags."""
        self.client.transport.discard(
            self.client.repeat(
                lambda: self.client.once(
                    f"remove the tag {tag}",
                    "DELETE",
                    f"/v2/{repository}/manifests/{quote(tag)}",
                    scopes=(f"repository:{repository}:pull,push,delete",),
                    good=(202, 204, 404),
                )
            )
        )

    def repositories(self) -> list[str]:
        """All that one may see; Refused or NotLetIn where they are not listed."""
        path = f"/v2/_catalog?n={_PAGE}"
        listed = self.listed("list the bundles", path, "repositories", ("registry:catalog:*",))
        return [name for name in listed if isinstance(name, str)]

    def tags(self, repository: str) -> set[str]:
        """Those that can be tags; none where there is no such repository."""
        path, scopes = f"/v2/{repository}/tags/list?n={_PAGE}", (f"repository:{repository}:pull",)
        try:
            listed = [*self.listed(f"list the tags of {repository}", path, "tags", scopes)]
        except Refused as refusal:
            if is_unknown(refusal):
                return set()
            raise
        return {tag for tag in listed if isinstance(tag, str) and TAG.fullmatch(tag)}

    def listed(self, doing: str, path: str, key: str, scopes: tuple[str, ...]) -> Iterator[Any]:
        """The members of the list `key` over all pages; Refused (404) if there is no such thing."""
        pages: set[str] = set()
        following: str | None = path
        while following is not None:
            if following in pages or len(pages) > _MAX_PAGES:
                raise RegistryError(
                    f"cannot {doing} in {self.client.address.url}", cause="its list has no end"
                )
            pages.add(following)
            members, following = self.client.repeat(partial(self._page, doing, following, key, scopes))
            yield from members

    def _page(self, doing: str, path: str, key: str, scopes: tuple[str, ...]) -> tuple[list[Any], str | None]:
        response = self.client.once(doing, "GET", path, scopes=scopes)
        data = self.client.transport.whole(response, MAX_BYTES)
        with as_bundle_error():
            value = canonical.decode(data)
        members = (value.get(key) or []) if isinstance(value, dict) else None
        if not isinstance(members, list):
            raise RegistryError(
                f"cannot {doing} in {self.client.address.url}", cause="it answers with no list"
            )
        following = _NEXT.search(response.headers.get("Link", ""))
        if not following:
            return members, None
        url = path if "://" in path else self.client.address.root + path
        return members, self.client.transport.located(url, following[1])

    def _manifest(self, method: str, repository: str, reference: str) -> Any:
        return self.client.once(
            f"read the manifest of {repository}",
            method,
            f"/v2/{repository}/manifests/{quote(reference, safe=':')}",
            scopes=(f"repository:{repository}:pull",),
            headers={"Accept": ", ".join(_ACCEPTED)},
            good=(200, 404),
        )


def is_unknown(refusal: Refused) -> bool:
    """Whether there is simply no such repository."""
    return refusal.status == 404 or "NAME_UNKNOWN" in refusal.codes
