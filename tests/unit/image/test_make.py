"""Images out of a bundle and a base: what is in them, and that nothing else goes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from base_images import ARM, BaseLayout, make_base, make_image_bundle, root_files, tar_of
from sample_bundle import LINUX, make_bundle

from mlship.bundle.open import OpenBundle, open_bundle
from mlship.digest import sha256
from mlship.errors import BundleError, UsageError
from mlship.image.entry import RELEASE
from mlship.image.forms import DOCKER, OCI
from mlship.image.make import Made, make_image
from mlship.image.places import parse_image
from mlship.image.tar_headers import entries
from mlship.reference import Reference
from mlship.registry import open_registry
from mlship_runtime.bundle.ustar import ChunkStream


def made(bundle: OpenBundle, base: BaseLayout, **said: Any) -> Made:
    return make_image(bundle, parse_image(str(base.folder)), said.pop("form", OCI), **said)


def config_of(image: Made) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(image.images[0].image.config)
    return found


def test_the_digest_is_a_literal(bundle: OpenBundle, tmp_path: Path) -> None:
    """It may change with what mlship writes, and with nothing else."""
    image = made(bundle, make_base(tmp_path / "plain", compressed=False))
    assert image.digest == "sha256:169f6c3f8783957e7d1ec98b1e3cb4bf25b9017d84ad2a4d6c6805ebb0d79f9f"


def test_the_bundles_layers_are_the_images(bundle: OpenBundle, base: BaseLayout) -> None:
    image = made(bundle, base)
    manifest, config = json.loads(image.data), config_of(image)
    roles = [LINUX, "any", ""]  # what changes least lies lowest
    own = [x.digest for role in roles for x in bundle.manifest.layers if x.is_tar and x.platform == role]
    assert [x["digest"] for x in manifest["layers"][1:-1]] == own
    assert config["rootfs"]["diff_ids"][1:] == [x["digest"] for x in manifest["layers"][1:]]
    assert manifest["layers"][0]["mediaType"].endswith("tar+gzip")
    assert config["config"]["Labels"] == {
        "vnd.mlship.bundle": bundle.digest,
        "vnd.mlship.platform": LINUX,
        "org.opencontainers.image.base.digest": image.images[0].base.manifest.digest,
        "org.opencontainers.image.title": "churn",
        "org.opencontainers.image.version": "1.0",
    }
    start = config["config"]["Entrypoint"]
    assert (start[0], start[-1], config["config"]["Cmd"]) == ("/usr/bin/python3.11", "container", ["serve"])
    assert config["config"]["Healthcheck"]["Test"] == ["CMD", *start, "health"]
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"])


def test_the_entry_layer(bundle: OpenBundle, base: BaseLayout) -> None:
    data = made(bundle, base).images[0].entry
    found = {}
    for entry, content in entries(ChunkStream([data]), "the entry"):
        found[entry.path] = (entry.kind, entry.mode, b"".join(iter(lambda: content.read(99), b"")))  # noqa: B023
    folders = [path for path, (kind, mode, _) in found.items() if kind == "folder" and mode == 0o755]
    assert folders == [
        "golden", "mlship", "model", "reduction", "runtime", "runtime/any", "runtime/any/mlship_runtime",
        "runtime/any/mlship_runtime/supervision", f"runtime/{LINUX}", f"runtime/{LINUX}/numpy",
    ]  # fmt: skip
    record = json.loads(found[RELEASE][2])
    assert (record["digest"], record["platform"]) == (bundle.digest, LINUX)
    assert set(record["layers"].values()) == {"/"}
    assert sha256(found["mlship/manifest.json"][2]) == bundle.digest


HOSTILE = 'x"; rm -rf /\n$(id) `id` \'"'


def test_nothing_of_the_base_gets_in_but_its_path(bundle: OpenBundle, tmp_path: Path) -> None:
    layout = BaseLayout(tmp_path / "hostile")
    config = {
        "User": "root", "Env": ["LD_PRELOAD=/x.so", "PYTHONPATH=/x", f"PATH={HOSTILE}"], "Cmd": [HOSTILE],
        "Entrypoint": ["/bin/sh", "-c", HOSTILE], "Volumes": {"/model": {}}, "Labels": {HOSTILE: HOSTILE},
        "OnBuild": ["RUN x"], "Shell": ["/bin/sh"], "WorkingDir": "/model", "StopSignal": "SIGKILL",
    }  # fmt: skip
    layout.name(layout.image([tar_of(root_files())], config=config, author=HOSTILE))
    image = made(bundle, layout)
    assert HOSTILE.encode() not in image.data
    for word in (b"rm -rf", b"LD_PRELOAD", b"SIGKILL", b"OnBuild", b"Volumes"):
        assert word not in image.images[0].image.config
    assert config_of(image)["config"]["User"] == "65532:65532"


def test_labels_of_ones_own(bundle: OpenBundle, base: BaseLayout) -> None:
    image = made(bundle, base, labels={"org.opencontainers.image.source": HOSTILE})
    assert config_of(image)["config"]["Labels"]["org.opencontainers.image.source"] == HOSTILE
    with pytest.raises(UsageError, match=r"the label vnd\.mlship\.bundle is set by mlship"):
        made(bundle, base, labels={"vnd.mlship.bundle": "x"})


def test_docker_schema_2(bundle: OpenBundle, base: BaseLayout) -> None:
    manifest = json.loads(made(bundle, base, form=DOCKER).data)
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    types = {x["mediaType"] for x in (manifest["config"], *manifest["layers"])}
    assert all(kind.startswith("application/vnd.docker.") for kind in types)
    assert sorted(manifest) == ["config", "layers", "mediaType", "schemaVersion"]


def test_several_platforms(tmp_path: Path) -> None:
    registry = open_registry(f"dir://{tmp_path}/registry")
    digest = make_image_bundle(registry, tmp_path / "layers", arm=True)
    bundle = open_bundle(registry, Reference("churn", digest=digest))
    layout = BaseLayout(tmp_path / "base")
    layout.name(
        layout.index({x: layout.image([tar_of(root_files(x))], processor=x) for x in ("amd64", "arm64")})
    )
    image = made(bundle, layout)
    listed = json.loads(image.data)["manifests"]
    assert [x["platform"] for x in listed] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    assert [x.platform for x in image.images] == [LINUX, ARM]
    assert [sha256(data) for data, _ in image.documents] == [*(x["digest"] for x in listed), image.digest]
    one = made(bundle, layout, words=["linux/arm64"])
    assert one.digest == listed[1]["digest"], "an image alone is another than in an index"
    with pytest.raises(UsageError, match="is for one platform"):
        made(bundle, layout, form=DOCKER)
    assert made(bundle, layout, form=DOCKER, words=["linux/amd64"]).images[0].platform == LINUX
    with pytest.raises(UsageError, match="is for no platform that containers run"):
        made(bundle, layout, words=["macos/arm64"])


def test_too_many_layers(bundle: OpenBundle, tmp_path: Path) -> None:
    layout = BaseLayout(tmp_path / "base")
    count = 125 - 5 - 1  # what the bundle has for Linux, and the entry
    layers = [tar_of(root_files()), *(tar_of({f"etc/{number}": b""}) for number in range(count))]
    layout.name(layout.image(layers[:count]))
    assert len(json.loads(made(bundle, layout).data)["layers"]) == 125
    layout.name(layout.image(layers))
    with pytest.raises(UsageError, match="the image would have 126 layers, 120 of them the base's"):
        made(bundle, layout)


def test_a_runtime_of_before(tmp_path: Path, base: BaseLayout) -> None:
    registry = open_registry(f"dir://{tmp_path}/registry")
    bundle = open_bundle(registry, Reference("churn", digest=make_bundle(registry)))
    with pytest.raises(BundleError, match="does not know how to run in a container"):
        made(bundle, base)


def test_the_same_over_a_copy_of_the_base(bundle: OpenBundle, base: BaseLayout, tmp_path: Path) -> None:
    assert made(bundle, base).digest == made(bundle, make_base(tmp_path / "elsewhere")).digest
