"""Where images are: a repository of a registry, a folder in the form of an OCI image layout, or an engine.

python:3.11-slim   registry.example.com/team/python@sha256:…   oci://127.0.0.1:5000/python:3.11
./base   ./base:3.11   /images/base@sha256:…
docker-daemon:python:3.11-slim   docker-daemon:sha256:…
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlship.bundle.exchange.layout import LAYOUT_PATH
from mlship.digest import is_digest, parse_digest, sha256
from mlship.errors import RegistryError, UsageError
from mlship.image.layout import LayoutFolder
from mlship.progress import SILENT, Progress
from mlship.reference import check_tag
from mlship.registry.oci.address import DOCKER_HUB, parse_address
from mlship.registry.oci.repository import Repository

if TYPE_CHECKING:
    from mlship.image.engine_image import EngineImage

_OFFICIAL = "library"  # where Docker Hub keeps what has no owner in its name
_FOLDER = re.compile(r"(\.{0,2}/|\.{1,2}$|~)")
_ENGINE = "docker-daemon:"  # as skopeo says it
_IN_ENGINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?::\d{1,5})?(?:/[a-z0-9][a-z0-9._-]*)*")


class ImagePlace(Protocol):
    """Where documents (manifests, indexes) and blobs of images lie."""

    @property
    def url(self) -> str: ...

    def document(self, reference: str) -> bytes | None:
        """What a tag or digest names, not compared with it; None if there is nothing. Empty: the only one."""
        ...

    def blob(self, digest: str, size: int) -> Iterator[bytes]:
        """As it comes: whoever reads it checks it."""
        ...


@dataclass(frozen=True)
class ImageName:
    """An image as somebody named it: `place` (an URL, a folder's path, or an engine and the name there), and
    a tag, a digest or neither."""

    place: str
    tag: str = ""
    digest: str = ""

    @property
    def is_folder(self) -> bool:
        return "://" not in self.place and not self.is_engine

    @property
    def is_engine(self) -> bool:
        return self.place.startswith(_ENGINE)

    @property
    def reference(self) -> str:
        """What its place is asked for; an engine's is a place of one image."""
        return "" if self.is_engine else self.digest or self.tag

    def pinned(self, digest: str) -> str:
        """How it is named once and for all; in an engine by its id."""
        return f"{_ENGINE}{digest}" if self.is_engine else f"{self.place.removeprefix('oci://')}@{digest}"

    def __str__(self) -> str:
        if self.place == _ENGINE:
            return self.place + self.digest
        end = f"@{self.digest}" if self.digest else f":{self.tag}" if self.tag else ""
        return self.place.removeprefix("oci://") + end

    def open(self, progress: Progress = SILENT) -> Repository | LayoutFolder | EngineImage:
        """To read from. Nothing is asked for yet."""
        if self.is_engine:
            from mlship.image.engine_image import EngineImage

            return EngineImage(str(self).removeprefix(_ENGINE), progress)
        return self.open_to_write()

    def open_to_write(self) -> Repository | LayoutFolder:
        """Nothing is asked for yet. Raises UsageError for an image in an engine."""
        self.refuse_engine()
        return LayoutFolder(Path(self.place)) if self.is_folder else Repository(parse_address(self.place))

    def refuse_engine(self) -> None:
        """Raise UsageError for an image in an engine."""
        if self.is_engine:
            raise UsageError(
                f"{self} is in a Docker engine, which images are not sent to or from this way",
                fix="Name a folder or a registry; docker load takes what mlship image save writes",
            )


def parse_image(text: str, tag: str = "latest") -> ImageName:
    """Read the name of an image; `tag` is what a registry's image is called if no tag is said.

    What begins with `.`, `/` or `~`, or is a folder here with images in it, is a folder; what begins with
    `docker-daemon:` is in the engine; all else is a name as Docker has it, or an `oci://` URL. Raises
    UsageError.
    """
    if text.startswith(_ENGINE):
        return _in_engine(text.removeprefix(_ENGINE))
    head, said, digest = _parts(text)
    if _FOLDER.match(text) or ("://" not in text and (Path(head) / LAYOUT_PATH).is_file()):
        return ImageName(str(Path(head).expanduser()), said, digest)
    address = parse_address(_whole(head))
    if not head or not address.prefix:
        raise UsageError(f"{text[:200]!a} names a registry and no image in it", fix="Write HOST/NAME:TAG")
    return ImageName(address.url, said or ("" if digest else tag), digest)


def _in_engine(name: str) -> ImageName:
    if is_digest(name):
        return ImageName(_ENGINE, digest=name)
    head, tag, digest = _parts(name)
    if not _IN_ENGINE.fullmatch(head):
        raise UsageError(f"{name[:200]!a} is no name of an image", fix=f"Write {_ENGINE}NAME:TAG")
    return ImageName(_ENGINE + head, tag, digest)


def parse_folder(text: str, tag: str) -> ImageName:
    """As `parse_image`, for a folder to write to; `tag` if none is said. Raises UsageError."""
    head, said, digest = _parts(text)
    if digest or "://" in text:
        raise UsageError(f"{text[:200]!a} is no folder to write to", fix="Write FOLDER or FOLDER:TAG")
    return ImageName(str(Path(head).expanduser()), said or tag)


def _parts(text: str) -> tuple[str, str, str]:
    """What stands before tag and digest, and both. Raises UsageError."""
    rest, at, digest = text.partition("@")
    if at:
        parse_digest(digest)
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        head, tag = rest, ""
    else:
        check_tag(tag)
    return head, tag, digest


def read_named(place: ImagePlace, name: ImageName) -> bytes:
    """The document that `name` stands for. Raises RegistryError if there is none, or if it is another one."""
    data = place.document(name.reference)
    if data is None:
        raise RegistryError(
            f"there is no image {name}", cause=f"{place.url} does not have it", fix="Look at its name and tag"
        )
    if name.digest and not name.is_engine and sha256(data) != name.digest:
        raise damaged(name.digest, place)
    return data


def read_digest(place: ImagePlace, digest: str) -> bytes:
    """A document by its digest; RegistryError if it is gone or another one."""
    data = place.document(digest)
    if data is None:
        raise RegistryError(
            f"{digest[:19]}… is not in {place.url}", cause="the image is not whole there, or was removed"
        )
    if sha256(data) != digest:
        raise damaged(digest, place)
    return data


def damaged(digest: str, place: ImagePlace) -> RegistryError:
    return RegistryError(
        f"{digest[:19]}… in {place.url} is not what its digest says",
        cause="it was damaged or exchanged there",
    )


def _whole(name: str) -> str:
    """The URL of a name in Docker's short forms: what stands before the first slash is a host if it has a dot
    or a port, or is localhost."""
    if "://" in name or is_digest(name):
        return name
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return f"oci://{name}"
    return f"oci://{DOCKER_HUB}/{name if slash else f'{_OFFICIAL}/{name}'}"
