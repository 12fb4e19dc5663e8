"""Bases as they come: of several platforms, compressed, damaged, lying; and remembered."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from base_images import BaseLayout, make_base, root_files, tar_of

from mlship.errors import RegistryError, UsageError
from mlship.image import layers
from mlship.image.base import Base, find_bases, look_through
from mlship.image.fit import fitting_python
from mlship.image.places import parse_image
from mlship_runtime.platforms import Platform

AMD64, ARM64 = ("linux", "amd64"), ("linux", "arm64")


def base_of(layout: BaseLayout, platform: tuple[str, str] = AMD64) -> Base:
    return find_bases(parse_image(str(layout.folder.absolute())), [platform])[0]


def wanted(processor: str = "amd64", minor: int = 11, glibc: int = 28) -> Platform:
    return Platform("linux", processor, (3, minor), (2, glibc))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_base_is_looked_through_once(tmp_path: Path, compressed: bool) -> None:
    layout = make_base(tmp_path / "base", compressed=compressed)
    base = base_of(layout)
    files = look_through(base)
    assert fitting_python(base, files, wanted()) == "/usr/bin/python3.11"
    layout.path(base.manifest.layers[0].digest).unlink()
    assert look_through(base_of(layout)) == files, "it was not remembered"


def test_each_platform_of_an_index(tmp_path: Path) -> None:
    layout = BaseLayout(tmp_path / "base")
    images = {name: layout.image([tar_of(root_files(name))], processor=name) for name in ("amd64", "arm64")}
    layout.name(layout.index(images))
    found = find_bases(parse_image(str(layout.folder)), [ARM64, AMD64])
    assert [x.manifest.digest for x in found] == [images["arm64"]["digest"], images["amd64"]["digest"]]
    assert len({x.pinned for x in found}) == 1
    with pytest.raises(UsageError, match=r"is not for linux/s390x: it is for 'linux/amd64, linux/arm64'"):
        base_of(layout, ("linux", "s390x"))


def test_the_wrong_platform(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not for linux/arm64: it is for 'linux/amd64'"):
        base_of(make_base(tmp_path / "base"), ARM64)


UNFIT: dict[str, tuple[dict[str, Any], Platform, str]] = {
    "another Python": ({"python": "3.9"}, wanted(), "the bundle needs Python 3.11, and it has 3.9"),
    "an old glibc": ({"glibc": "2.17"}, wanted(), "it needs glibc 2.28 or newer, here is 2.17"),
    "a Python for arm": ({"processor": "arm64"}, wanted(), "its /usr/bin/python3.11 is for arm64"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_a_base_lacks_is_said(tmp_path: Path, name: str) -> None:
    said, platform, why = UNFIT[name]
    base = base_of(make_base(tmp_path / "base", **said))
    with pytest.raises(UsageError, match=why):
        fitting_python(base, look_through(base), platform)


LACKING = {
    "usr/bin/python3.11": "it has none",
    "usr/lib/amd64-linux-gnu/libc.so.6": r"here is none",
    "usr/lib/amd64-linux-gnu/libstdc\\+\\+.so.6": "it has no libstdc",
    "usr/lib/amd64-linux-gnu/libgcc_s.so.1": "it has no libgcc_s",
    "usr/lib/python3.11/asyncio/__init__.py": "has no asyncio: it is a minimal one",
}


@pytest.mark.parametrize("path", LACKING)
def test_each_thing_that_is_needed(tmp_path: Path, path: str) -> None:
    files = {
        name: data
        for name, data in root_files().items()
        if name != path.replace("\\\\", "").replace("\\", "")
    }
    assert len(files) < len(root_files())
    layout = BaseLayout(tmp_path / "base")
    layout.name(layout.image([tar_of(files)]))
    base = base_of(layout)
    with pytest.raises(UsageError, match=LACKING[path]):
        fitting_python(base, look_through(base), wanted())


@pytest.mark.parametrize("name", ["model", "runtime/any/x.py", "golden/x", "mlship/release.json"])
def test_what_stands_where_the_bundle_goes(tmp_path: Path, name: str) -> None:
    layout = BaseLayout(tmp_path / "base")
    layout.name(layout.image([tar_of(root_files()), tar_of({name: "/etc"})]))
    base = base_of(layout)
    with pytest.raises(UsageError, match=f"it has /{name.partition('/')[0]} itself"):
        fitting_python(base, look_through(base), wanted())


def test_the_first_on_path_is_taken(tmp_path: Path) -> None:
    layout = BaseLayout(tmp_path / "base")
    more = {
        f"{place}/python3.11": root_files()["usr/bin/python3.11"] for place in ("opt/x/bin", "usr/local/bin")
    }
    layout.name(layout.image([tar_of(root_files() | more)], config={"Env": ["PATH=/opt/x/bin/:/usr/bin"]}))
    base = base_of(layout)
    assert fitting_python(base, look_through(base), wanted()) == "/opt/x/bin/python3.11"


def bomb(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MAX_UNPACKED", 1 << 20)
    layout.name(layout.image([tar_of(root_files() | {"big": bytes(2 << 20)})], compressed=True))


def other_content(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    image = layout.image([tar_of(root_files())])
    layer = json.loads(layout.path(image["digest"]).read_bytes())["layers"][0]
    data = bytearray(layout.path(layer["digest"]).read_bytes())
    data[-1] = 1
    layout.path(layer["digest"]).write_bytes(data)
    layout.name(image)


def shorter(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    image = layout.image([tar_of(root_files())])
    layer = json.loads(layout.path(image["digest"]).read_bytes())["layers"][0]
    layout.path(layer["digest"]).write_bytes(layout.path(layer["digest"]).read_bytes()[:-1])
    layout.name(image)


def other_diff_id(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    rootfs = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}
    layout.name(layout.image([tar_of(root_files())], rootfs=rootfs))


def fewer_diff_ids(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    layout.name(layout.image([tar_of(root_files())], rootfs={"type": "layers", "diff_ids": []}))


def no_gzip(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzip, "compress", lambda data, *_, **__: b"\x1f\x8b" + data)
    layout.name(layout.image([tar_of(root_files())], compressed=True))


def cut_gzip(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gzip.compress
    monkeypatch.setattr(gzip, "compress", lambda data, *_, **__: whole(data)[:-20])
    layout.name(layout.image([tar_of(root_files())], compressed=True))


def zstd(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("base_images.LAYER", "application/vnd.oci.image.layer.v1.tar+zstd")
    layout.name(layout.image([tar_of(root_files())]))


def a_huge_layer(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    image = layout.image([tar_of(root_files())])
    said = json.loads(layout.path(image["digest"]).read_bytes())
    said["layers"][0]["size"] = 1 << 50
    layout.name(layout.blob(json.dumps(said).encode(), image["mediaType"]))


def no_layers(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    layout.name(layout.image([]))


def an_artifact(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    layout.name(layout.blob(b'{"mediaType": "application/x\\n$(id)"}', "application/x"))


def no_json(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    layout.name(layout.blob(b"{" * 1000, "application/x"))


def a_gone_config(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    image = layout.image([tar_of(root_files())])
    layout.path(json.loads(layout.path(image["digest"]).read_bytes())["config"]["digest"]).unlink()
    layout.name(image)


def a_gone_manifest(layout: BaseLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    image = layout.image([tar_of(root_files())])
    layout.path(image["digest"]).unlink()
    layout.name(image)


DAMAGED: dict[str, tuple[Callable[[BaseLayout, pytest.MonkeyPatch], None], str]] = {
    "a bomb": (bomb, "unpacks to more than"),
    "other content": (other_content, "is not what its digest says"),
    "shorter": (shorter, "and not"),
    "another diff id": (other_diff_id, "unpacks to something else than its config says"),
    "fewer diff ids": (fewer_diff_ids, "lists other layers than its manifest"),
    "no gzip": (no_gzip, "is no sound gzip"),
    "a cut gzip": (cut_gzip, "is no sound gzip"),
    "zstd": (zstd, "only plain tars and gzip are read"),
    "a huge layer": (a_huge_layer, "at most"),
    "no layers": (no_layers, "has 0 layers"),
    "an artifact": (an_artifact, r"is no image: its media type is 'application/x\\n\$\(id\)'"),
    "no JSON": (no_json, "cannot be read"),
    "a config that is gone": (a_gone_config, "is not in"),
    "a manifest that is gone": (a_gone_manifest, "there is no image"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_and_lying_bases(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    make, why = DAMAGED[name]
    layout = BaseLayout(tmp_path / "base")
    make(layout, monkeypatch)
    with pytest.raises(RegistryError, match=why):
        look_through(base_of(layout))
    assert not list(cache.rglob("*.json")), "what was refused is remembered"
