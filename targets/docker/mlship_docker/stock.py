"""The images on an engine, and how one gets there: only the layers that it lacks, or by a registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlship.errors import TargetError, UsageError
from mlship.image.archive import Loadable, loadable
from mlship.image.documents import ImageManifest, read_document
from mlship.image.places import parse_image
from mlship.image.sending import send
from mlship.progress import Progress
from mlship.registry.oci.repository import Repository
from mlship_docker.engine import Engine
from mlship_docker.images import TargetImage, missing
from mlship_docker.names import BUNDLE, Names

_UNKNOWN = "the engine does not tell its images"


@dataclass(frozen=True)
class Stocked:
    """An image on the engine with a bundle in it: its id, its names, and its unpacked layers' digests."""

    id: str
    names: tuple[str, ...]
    layers: tuple[str, ...]


def stock(engine: Engine) -> list[Stocked]:
    """Whoever they are of: layers can be shared with each."""
    found = []
    with engine.asked(_UNKNOWN):
        for listed in engine.api.images(filters={"label": BUNDLE}):
            image = _inspected(engine, listed["Id"])
            if image is not None:
                layers = (image.get("RootFS") or {}).get("Layers") or ()
                found.append(Stocked(listed["Id"], _names_of(image), tuple(layers)))
    return found


def find(engine: Engine, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The image of a release, by either of its digests. Raises TargetError if it is gone."""
    found = _either(engine, settings["image"], settings["manifest"])
    if found is None:
        raise TargetError(
            f"the image {settings['image'][:19]}… is no longer on the engine",
            fix="Deploy the bundle again from a registry, which brings it",
        )
    return found


def bring(engine: Engine, names: Names, image: TargetImage, repository: str, progress: Progress) -> int:
    """Have `image` on the engine, named for this service; the bytes that it took. Raises TargetError,
    RegistryError, and BundleError for damage on the way."""
    sent, there = 0, _either(engine, image.id, image.manifest)
    if there is None:
        if repository:
            sent = _pull(engine, image, repository, progress)
        else:
            sent = _load(engine, names, image, progress)
        there = _either(engine, image.id, image.manifest)
    if there is None:
        raise TargetError(
            "the engine took the image, and does not have it now",
            cause=f"it has none with the digest {image.id[:19]}…",
            fix="Look whether something cleans up there, then deploy again",
        )
    with engine.asked("the image cannot be given a name"):
        other = _inspected(engine, names.image(there["Id"]))
        if other is not None and other["Id"] != there["Id"]:
            fix = "Give it another name: docker tag, docker rmi"
            raise TargetError(f"{names.image(there['Id'])} is another image there, and not ours", fix=fix)
        engine.api.tag(there["Id"], names.repository, names.tag(there["Id"]))
    return sent


def remove_unused(engine: Engine, names: Names, used: set[str], repository: str) -> None:
    """Take away the names that this service gave, but for those of `used` images, and the one by which
    such an image was pulled from `repository`; an image is gone with its last name."""
    for image in stock(engine):
        own = names.image(image.id)
        if image.id in used or own not in image.names:
            continue
        for name in image.names:
            if name == own or (repository and name.startswith(f"{_pulled_from(repository)}@")):
                _unname(engine, name)


def _pulled_from(repository: str) -> str:
    """As the engine calls it: without a tag."""
    return parse_image(repository).pinned("").rstrip("@")


def _load(engine: Engine, names: Names, image: TargetImage, progress: Progress) -> int:
    """Stream it there: without the layers that it shares with an image there, if the engine can do that; an
    image that is removed meanwhile takes its layers with it, so then with all of them."""
    known = [image.layers for image in stock(engine)] if engine.keeps_layers else []
    lacking = {layer.digest for layer in missing(image.layers, known)}
    try:
        return _stream(engine, names, image, lacking, progress)
    except TargetError:
        if len(lacking) == len(image.layers):
            raise
        return _stream(engine, names, image, {layer.digest for layer in image.layers}, progress)


def _stream(engine: Engine, names: Names, image: TargetImage, lacking: set[str], progress: Progress) -> int:
    what = f"the engine does not take the image of {image.made.bundle.reference}"
    sent = _archive(image, lacking)
    progress.phase(f"sending {names.image(image.id)}", sent.size, unit="bytes")

    def counted() -> Iterator[bytes]:
        for piece in sent.pieces():
            yield piece
            progress.advance(len(piece))

    with engine.asked(what, fix="Look at the space that it has: docker system df"):
        for said in engine.patient.load_image(counted()):
            _refuse_error(said, what)
    return sent.size


def _archive(image: TargetImage, lacking: set[str]) -> Loadable:
    """Under no name: whoever has the one that we would give keeps it."""
    manifest = read_document(image.made.images[0].image.manifest, str(image.made.bundle.reference))
    assert isinstance(manifest, ImageManifest)  # noqa: S101  one image is no index
    pairs = zip(manifest.layers, image.diff_ids, strict=True)
    absent = {layer.digest for layer, diff_id in pairs if diff_id not in lacking}
    return loadable(manifest, image.made.content, absent=absent)


def _pull(engine: Engine, image: TargetImage, repository: str, progress: Progress) -> int:
    """Send it to the registry, and let the engine take it from there by its digest."""
    name = parse_image(repository)
    there = name.open()
    if not isinstance(there, Repository) or name.digest:
        raise UsageError(f"`repository` {repository!a} is none", fix="Write HOST/NAME")
    sent = send(image.made.parts, there, name.tag, progress)
    pinned = name.pinned(image.manifest)
    what = f"the engine cannot pull {pinned}"
    with engine.asked(what, fix="Log in with docker login, and look whether it reaches the registry"):
        for said in engine.patient.pull(pinned, stream=True, decode=True):
            _refuse_error(said, what)
    return sent.sent_bytes


def _refuse_error(said: Mapping[str, Any], what: str) -> None:
    if said.get("error"):
        raise TargetError(what, cause=" ".join(str(said["error"]).split())[:300])


def _unname(engine: Engine, name: str) -> None:
    """One that a container of somebody else's uses stays."""
    from docker.errors import APIError

    with engine.asked("images cannot be removed"):
        try:
            engine.api.remove_image(name)
        except APIError as error:
            if error.status_code not in (404, 409):
                raise


def _either(engine: Engine, config: str, manifest: str) -> dict[str, Any] | None:
    with engine.asked(_UNKNOWN):
        return _inspected(engine, config) or _inspected(engine, manifest)


def _inspected(engine: Engine, name: str) -> dict[str, Any] | None:
    """Within `asked`."""
    from docker.errors import ImageNotFound

    try:
        found: dict[str, Any] = engine.api.inspect_image(name)
    except ImageNotFound:
        return None
    return found


def _names_of(image: Mapping[str, Any]) -> tuple[str, ...]:
    return (*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ()))
