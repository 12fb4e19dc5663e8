"""An image sent to a registry that cuts connections or lets tokens expire, and from a base that went away."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from base_images import BaseLayout, make_base, make_image_bundle, root_files, tar_of
from oci_double import KINDS, PASSWORD, USER, Double, Fault, running

from mlship.bundle.open import OpenBundle, open_bundle, verify_bundle
from mlship.errors import RegistryError
from mlship.image.forms import DOCKER, OCI
from mlship.image.make import Made, make_image
from mlship.image.opened import bundle_in, check_made, open_images
from mlship.image.places import parse_image
from mlship.image.sending import Sent, send
from mlship.reference import Reference
from mlship.registry import open_registry
from mlship.registry.oci.address import parse_address
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.repository import Repository

LARGE = bytes(range(256)) * 2048
QUICK = Patience(pause=0.01, stall=15)


@pytest.fixture
def large(tmp_path: Path) -> OpenBundle:
    """`churn` with a model of half a MiB."""
    registry = open_registry(f"dir://{tmp_path}/large")
    digest = make_image_bundle(registry, tmp_path / "large-layers", model=LARGE)
    return open_bundle(registry, Reference("churn", digest=digest))


@pytest.fixture
def there(request: pytest.FixtureRequest) -> Iterator[Double]:
    with running(Double(auth=getattr(request, "param", "none"))) as double:
        yield double


def sent(made: Made, double: Double, tag: str = "1") -> Sent:
    place = Repository(parse_address(f"oci://{double.host}/team/churn"), QUICK)
    return send(made.parts, place, tag)


def made_over(bundle: OpenBundle, base: BaseLayout | str, **said: Any) -> Made:
    name = base if isinstance(base, str) else str(base.folder)
    return make_image(bundle, parse_image(name), said.pop("form", OCI), **said)


def check_whole(double: Double, made: Made) -> None:
    _, (image,) = open_images(parse_image(f"{double.host}/team/churn@{made.digest}"))
    bundle = bundle_in(image)
    check_made(image, bundle)
    verify_bundle(bundle)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("stall", "401")])
def test_cut_in_its_middle(large: OpenBundle, base: BaseLayout, there: Double, kind: str) -> None:
    made = made_over(large, base)
    model = next(x.digest for x in large.manifest.layers if x.role == "model")
    there.faults.append(Fault(kind, "PUT", f"digest={model.replace(':', '%3A')}", len(LARGE) // 2))
    sent(made, there)
    assert there.faults == [], "the cut did not happen"
    check_whole(there, made)
    assert sent(made, there).sent_blobs == 0


@pytest.mark.parametrize("there", ["bearer"], indirect=True)
@pytest.mark.parametrize(
    ("method", "part"), [("PUT", "digest="), ("PUT", "/manifests/"), ("HEAD", "/blobs/")]
)
def test_a_token_that_expires_on_the_way(
    large: OpenBundle,
    base: BaseLayout,
    there: Double,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    part: str,
) -> None:
    """All are void at once; each kind of right is asked for again, and what met it is repeated."""
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {there.host: {"auth": secret}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    place = Repository(parse_address(f"oci://{there.host}/team/churn"), QUICK)
    send(made_over(large, base).parts, place, "0")
    made = made_over(large, base, labels={"team": "risk"})
    there.seen.clear()
    spent: list[str] = []

    def expire(handler: Any) -> bool:
        if not spent and handler.command == method and part in handler.path:
            spent.append(handler.path)
            there.tokens.clear()
        return False

    there.lie = expire
    send(made.parts, place, "1")
    assert spent, "no token has expired"
    asked = [x.path for x in there.seen if x.path.startswith("/token")]
    assert asked, "it was not renewed"
    assert len(set(asked)) == len(asked), "it was renewed more than once"
    check_whole(there, made)


def test_a_base_that_vanishes_before_it_is_sent(bundle: OpenBundle, tmp_path: Path, there: Double) -> None:
    """Nothing is tagged then; what was sent of the rest is found again by the next try."""
    layout = make_base(tmp_path / "base")
    made = made_over(bundle, layout)
    (layer,) = made.images[0].base.manifest.layers
    kept = layout.path(layer.digest).read_bytes()
    layout.path(layer.digest).unlink()
    with pytest.raises(RegistryError, match=rf"{layer.digest[:19]}… is not in {layout.folder}"):
        sent(made, there)
    assert there.manifests == {}
    layout.path(layer.digest).write_bytes(kept)
    sent(made, there)
    check_whole(there, made)


def test_a_base_whose_digest_is_gone_from_its_registry(bundle: OpenBundle, base: BaseLayout) -> None:
    """Resolved, looked through, and removed by its owner before the image goes elsewhere."""
    with running(Double()) as theirs, running(Double()) as ours:
        pushed = push_base(base, theirs)
        made = made_over(bundle, f"{theirs.host}/python:3.11")
        theirs.blobs.pop(("python", pushed))
        with pytest.raises(RegistryError) as told:
            sent(made, ours)
        assert pushed[:19] in str(told.value)
        assert ours.manifests == {}
        theirs.manifests.clear()
        with pytest.raises(RegistryError, match="there is no image"):
            made_over(bundle, f"{theirs.host}/python:3.11")


def push_base(base: BaseLayout, double: Double) -> str:
    """Put the base into `python:3.11` there; the digest of its layer."""
    listed = json.loads((base.folder / "index.json").read_bytes())["manifests"][0]
    manifest = base.path(listed["digest"]).read_bytes()
    blobs = [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]
    for blob in blobs:
        double.blobs["python", blob["digest"]] = base.path(blob["digest"]).read_bytes()
    for name in ("3.11", listed["digest"]):
        double.manifests["python", name] = (manifest, listed["mediaType"])
    digest: str = blobs[-1]["digest"]
    return digest


def test_only_what_is_new_is_asked_for_and_sent(large: OpenBundle, base: BaseLayout) -> None:
    """A second image over the same base: neither its config nor a layer of it is read again."""
    with running(Double()) as there:
        push_base(base, there)
        sent(made_over(large, f"{there.host}/python:3.11"), there)
        there.seen.clear()
        again = made_over(large, f"{there.host}/python:3.11", labels={"team": "risk"})
        assert sent(again, there, "2").sent_blobs == 1, "more than the config"
        assert [x.path for x in there.of("GET")] == ["/v2/python/manifests/3.11"]
        assert len(there.of("PUT", "/manifests/")) == 1
        check_whole(there, again)


def test_an_index_goes_after_what_it_lists(tmp_path: Path, there: Double) -> None:
    registry = open_registry(f"dir://{tmp_path}/registry")
    digest = make_image_bundle(registry, tmp_path / "layers", arm=True)
    bundle = open_bundle(registry, Reference("churn", digest=digest))
    layout = BaseLayout(tmp_path / "base")
    images = {x: layout.image([tar_of(root_files(x))], processor=x) for x in ("amd64", "arm64")}
    layout.name(layout.index(images))
    made = made_over(bundle, layout)
    sent(made, there)
    names = [x.path.rpartition("/")[2] for x in there.of("PUT", "/manifests/")]
    assert names == [*(one.image.digest for one in made.images), "1"]
    assert len(open_images(parse_image(f"{there.host}/team/churn:1"))[1]) == 2


WORDS = [
    '"; rm -rf / #',
    "'$(id)`id`'",
    "a\nFROM scratch\n",
    "\\u0000\x7f",
    "--privileged",
    "é 漢 \U0001f600",
]


@pytest.mark.parametrize("form", [OCI, DOCKER], ids=["oci", "docker"])
def test_labels_are_only_ever_data(bundle: OpenBundle, base: BaseLayout, there: Double, form: Any) -> None:
    labels = {f"label {word}": word for word in WORDS}
    made = made_over(bundle, base, labels=labels, form=form)
    plain = made_over(bundle, base, form=form)
    config, other = (json.loads(x.images[0].image.config)["config"] for x in (made, plain))
    assert {key: config["Labels"].pop(key) for key in labels} == labels
    assert config == other, "a label has changed something else"
    sent(made, there)
    check_whole(there, made)
