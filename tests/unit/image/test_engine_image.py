"""A base that lies in a Docker engine: what it saves is read in both forms, once, and compared."""

from __future__ import annotations

import gc
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from base_images import root_files, tar_of
from engine_double import EngineDouble, config_of, engine_double, saved_as_before, saved_as_now

from mlship.bundle.open import OpenBundle
from mlship.errors import RegistryError, UsageError
from mlship.image.engine import connect
from mlship.image.forms import OCI
from mlship.image.make import make_image
from mlship.image.places import parse_image

ROOT, MORE = tar_of(root_files()), tar_of({"etc/more": b"more"})
LAYERS = [ROOT, MORE, MORE]
NAME = "docker-daemon:python:3.11"
# The SDK leaves a socket whose connection was refused, or broke, to the collector (`collected`).
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineDouble]:
    with engine_double(tmp_path) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
        yield engine


def layers_of(bundle: OpenBundle, name: str = NAME) -> list[dict[str, str]]:
    made = make_image(bundle, parse_image(name), OCI)
    found: list[dict[str, str]] = json.loads(made.data)["layers"]
    for blob in made.blobs.values():
        assert sum(map(len, made.content(blob)())) == blob.size
    return found


def test_both_forms_are_the_same_base(bundle: OpenBundle, engine: EngineDouble, cache: Path) -> None:
    before = engine.add("python:3.11", saved_as_before(LAYERS))
    made = make_image(bundle, parse_image(NAME), OCI)
    base = made.images[0].base
    assert base.name.pinned(base.pinned) == f"docker-daemon:{before}"
    assert len(json.loads(made.data)["layers"]) == 3 + 6
    engine.add("python:3.11", saved_as_now(LAYERS, config_of(LAYERS)))
    assert make_image(bundle, parse_image(NAME), OCI).digest == made.digest
    assert layers_of(bundle, f"docker-daemon:{before}") == json.loads(made.data)["layers"]
    (kept,) = cache.glob(f"engine-images-1/{before[7:]}/blobs/sha256")
    assert len(list(kept.iterdir())) == 4, "a manifest, a config and two layers"


def test_it_is_saved_once(bundle: OpenBundle, engine: EngineDouble) -> None:
    engine.add("python:3.11", saved_as_before(LAYERS))
    layers_of(bundle)
    layers_of(bundle)
    assert sum(path.endswith("/get") for path in engine.asked) == 1


def test_compressed_layers_stay_so(bundle: OpenBundle, engine: EngineDouble) -> None:
    stored = [gzip.compress(layer, mtime=0) for layer in LAYERS]
    engine.add("python:3.11", saved_as_now(stored, config_of(LAYERS)))
    assert [x["mediaType"].endswith("+gzip") for x in layers_of(bundle)[:4]] == [True, True, True, False]


def test_a_layer_that_is_not_what_the_config_says(bundle: OpenBundle, engine: EngineDouble) -> None:
    engine.add("python:3.11", saved_as_now([ROOT, MORE, ROOT], config_of(LAYERS)))
    with pytest.raises(RegistryError, match="unpacks to something else than its config says"):
        layers_of(bundle)


def test_another_processor(bundle: OpenBundle, engine: EngineDouble) -> None:
    engine.add("python:3.11", saved_as_before([tar_of(root_files("arm64"))], "arm64"))
    with pytest.raises(UsageError, match="is not for linux/amd64: it is for 'linux/arm64'"):
        layers_of(bundle)


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_an_engine_that_stops_in_its_middle(
    bundle: OpenBundle, engine: EngineDouble, cache: Path, part: float
) -> None:
    saved = saved_as_before(LAYERS)
    engine.add("python:3.11", saved)
    engine.cut = int(part * len(saved))
    with pytest.raises(RegistryError):
        layers_of(bundle)
    assert not list(cache.glob("engine-images-1/*")), "half an image was kept"
    engine.cut = None
    assert layers_of(bundle)


@pytest.mark.usefixtures("collected")
def test_what_is_not_there(
    bundle: OpenBundle, engine: EngineDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RegistryError, match=r"there is no image docker-daemon:python:3\.11"):
        layers_of(bundle)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    with pytest.raises(RegistryError, match="the Docker engine cannot be reached: No such file") as told:
        layers_of(bundle)
    assert "\n" not in str(told.value)
    monkeypatch.setenv("DOCKER_HOST", "nonsense://x")
    with pytest.raises(RegistryError, match="cannot be reached"):
        layers_of(bundle)


@pytest.mark.usefixtures("collected")
def test_contexts(engine: EngineDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order in which the docker command looks: DOCKER_HOST, DOCKER_CONTEXT, the context in use."""
    from docker import ContextAPI

    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text("{}")
    monkeypatch.delenv("DOCKER_HOST")
    ContextAPI.create_context("here", host=engine.url)
    connect(environment={"DOCKER_CONTEXT": "here"}).close()
    connect(context="here", environment={"DOCKER_HOST": "unix:///nobody"}).close()
    with pytest.raises(RegistryError):
        connect(environment={"DOCKER_CONTEXT": "here", "DOCKER_HOST": "unix:///nobody"})
    with pytest.raises(UsageError, match="there is no Docker context 'there'"):
        connect(environment={"DOCKER_CONTEXT": "there"})
    (tmp_path / "docker" / "config.json").write_text('{"currentContext": "here"}')
    connect(environment={}).close()
    assert engine.asked.count("/version") == 3


HOSTILE = ["../../version", "x/../../v1.41/info", "-x", "a b", "a?x=1", "a#b", "$(id)", "a;b", "a\nb", ""]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError):
        parse_image(f"docker-daemon:{name}")
