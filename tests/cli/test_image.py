"""mlship image on the command line: made, pushed, saved, shown, verified; with a real registry and skopeo."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "samples"))
from base_images import BaseLayout, make_base, make_image_bundle, root_files, tar_of
from oci_servers import DockerRegistry, docker_registry

from mlship.digest import sha256
from mlship.registry import open_registry

TOML = '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m"\n[image]\nbase = "./base"\n'


@pytest.fixture(autouse=True)
def cache(own_cache: Path) -> Path:
    """Nothing is remembered of bases that other tests have seen."""
    return own_cache


@pytest.fixture
def base(tmp_path: Path) -> BaseLayout:
    return make_base(tmp_path / "base")


@pytest.fixture
def digest(tmp_path: Path, base: BaseLayout) -> str:
    """A project that keeps a bundle for one Linux; its digest."""
    return keep(tmp_path)


@pytest.fixture
def server(tmp_path: Path, require: Callable[[str], None]) -> Iterator[DockerRegistry]:
    require("docker-registry")
    with docker_registry(tmp_path / "server") as server:
        yield server


def keep(folder: Path, **said: Any) -> str:
    (folder / "mlship.toml").write_text(TOML)
    registry = open_registry(f"dir://{folder}/.mlship/store")
    digest = make_image_bundle(registry, folder / "layers", **said)
    tagged = registry.read_tag("churn", "1.0")
    registry.set_tag("churn", "1.0", digest, tagged)
    return digest


def result(run: Any, *words: str) -> dict[str, Any]:
    ended = run("image", *words, "--json")
    assert ended.code == 0, ended.out
    found: dict[str, Any] = ended.envelope["result"]
    return found


def skopeo(*words: str) -> bytes:
    done = subprocess.run(["skopeo", *words], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_the_whole_way(run, digest: str, tmp_path: Path, base: BaseLayout) -> None:
    shown = run("image", "build", "churn:1.0")
    assert shown.code == 0, shown.err
    assert shown.out.startswith("churn:1.0 is the image churn-1.0.oci:1.0\n")
    assert "may be another base tomorrow; pin it: base = " in shown.err
    built = result(run, "build", "churn:1.0")
    assert (built["bundle"], built["sentBlobs"], built["profile"]) == (digest, 0, "oci")
    assert built["platforms"][0]["python"] == "/usr/bin/python3.11"
    assert result(run, "build", "churn:1.0", "--output", "other")["digest"] == built["digest"]
    pinned = run("image", "build", "churn:1.0", "--base", built["base"], "--json").envelope
    assert (pinned["result"]["digest"], pinned["warnings"]) == (built["digest"], [])
    inspected = result(run, "inspect", "churn-1.0.oci")
    assert (inspected["digest"], inspected["bundle"]) == (built["digest"], digest)
    assert inspected["platforms"] == built["platforms"]
    assert run("image", "inspect", "base", "--json").envelope["result"]["bundle"] == ""
    verified = result(run, "verify", "churn-1.0.oci", "--base", "./base")
    assert (verified["bundle"], verified["signedBy"], verified["baseChecked"]) == (digest, None, True)
    assert "whole and nothing else above its base" in run("image", "verify", "churn-1.0.oci").out
    assert run("image", "save", "churn-1.0.oci", "churn.tar").code == 0
    with tarfile.open("churn.tar") as tar:
        (loaded,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        names = tar.getnames()
    assert loaded["RepoTags"] == ["churn:1.0"]
    assert {loaded["Config"], *loaded["Layers"]} <= set(names)
    first = Path("churn.tar").read_bytes()
    assert run("image", "save", "churn-1.0.oci", "churn.tar").code == 0
    assert Path("churn.tar").read_bytes() == first


def test_the_signature_goes_along(run, digest: str, tmp_path: Path) -> None:
    for name in ("release", "other"):
        assert run("key", "generate", f"{name}.key").code == 0
    plain = result(run, "build", "churn:1.0")["digest"]
    unsigned = run("image", "verify", "churn-1.0.oci", "--key", "release.pub")
    assert (unsigned.code, "not signed" in unsigned.err) == (4, True), unsigned.err
    assert run("sign", "churn:1.0", "--key", "release.key").code == 0
    signed = result(run, "build", "churn:1.0")
    assert signed["digest"] != plain
    assert signed["sentBlobs"] == 2, "more than the entry layer and the config"
    assert result(run, "verify", "churn-1.0.oci", "--key", "release.pub")["signedBy"]
    assert run("image", "verify", "churn-1.0.oci", "--key", "other.pub").code == 4


@pytest.mark.server
def test_with_a_real_registry(
    run, digest: str, server: DockerRegistry, base: BaseLayout, tmp_path: Path
) -> None:
    there = f"{server.host}/team/churn"
    run("image", "build", "churn:1.0")
    sent = result(run, "push", "churn-1.0.oci", there)
    assert sent["image"] == f"{there}:1.0"
    built = result(run, "build", "churn:1.0", "--push", f"{there}:again")
    assert (built["digest"], built["sentBytes"]) == (sent["digest"], 0)
    copied = result(run, "push", f"{there}:1.0", f"{server.host}/elsewhere/churn")
    assert (copied["digest"], copied["sentBlobs"]) == (sent["digest"], 0), "they were not mounted"
    assert result(run, "verify", f"{there}@{sent['digest']}", "--base", "base")["bundle"] == digest
    changed = keep(tmp_path, model=b"another model")
    again = result(run, "build", "churn:1.0", "--push", f"{there}:1.1")
    assert (again["bundle"], again["sentBlobs"]) == (changed, 3), "more than model, entry and config"
    docker = result(run, "build", "churn:1.0", "--push", f"{there}:docker", "--profile", "docker")
    assert docker["sentBlobs"] == 0
    assert result(run, "verify", f"{there}:docker")["bundle"] == changed
    assert run("image", "build", "churn:1.0", "--push", f"127.0.0.1:1/{'x' * 9}", "--timeout", "3").code == 5
    assert run("image", "verify", f"{there}:nothing").code == 5


@pytest.mark.server
def test_a_base_in_the_registry(
    run, digest: str, server: DockerRegistry, base: BaseLayout, require: Callable[[str], None]
) -> None:
    require("skopeo")
    plain = ("--dest-tls-verify=false", "--src-tls-verify=false")
    skopeo("copy", *plain[:1], f"oci:{base.folder}", f"docker://{server.host}/python:3.11")
    here = result(run, "build", "churn:1.0")
    built = result(
        run, "build", "churn:1.0", "--base", f"{server.host}/python:3.11", "--push", f"{server.host}/churn"
    )
    assert built["digest"] == here["digest"]
    assert built["base"].startswith(f"{server.host}/python@sha256:")
    base_size = built["platforms"][0]["baseSize"]
    assert built["presentBytes"] == base_size > 0, "the base was not mounted"
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{server.host}/churn:1.0")
    assert sha256(raw) == here["digest"]
    skopeo("copy", *plain[1:], f"docker://{server.host}/churn:1.0", "oci:copy:1.0")
    compressed = result(run, "verify", "copy:1.0", "--base", "base")
    assert compressed["digest"] != here["digest"], "skopeo no longer compresses"
    assert compressed["bundle"] == digest
    run("image", "save", "churn-1.0.oci", "churn.tar")
    skopeo("copy", "oci-archive:churn.tar", "oci:loaded:1.0")
    assert result(run, "verify", "loaded")["bundle"] == digest
    skopeo("copy", "docker-archive:churn.tar", "dir:unpacked")


def test_of_several_platforms(run, tmp_path: Path) -> None:
    keep(tmp_path, arm=True)
    layout = BaseLayout(tmp_path / "base")
    layout.name(
        layout.index({x: layout.image([tar_of(root_files(x))], processor=x) for x in ("amd64", "arm64")})
    )
    assert len(result(run, "build", "churn:1.0")["platforms"]) == 2
    assert result(run, "verify", "churn-1.0.oci", "--base", "base")["platforms"] == [
        "linux/amd64",
        "linux/arm64",
    ]
    assert result(run, "verify", "churn-1.0.oci", "--platform", "linux/arm64")["platforms"] == ["linux/arm64"]
    both = run("image", "save", "churn-1.0.oci", "churn.tar")
    assert (both.code, "Choose one with --platform" in both.err) == (2, True)
    assert (
        result(run, "save", "churn-1.0.oci", "a.tar", "--platform", "linux/arm64")["platform"]
        == "linux/arm64"
    )
    docker = run("image", "build", "churn:1.0", "--profile", "docker")
    assert (docker.code, "is for one platform" in docker.err) == (2, True)
    pushed = result(run, "push", "churn-1.0.oci", "./second:1.0")
    assert pushed["digest"] == result(run, "inspect", "churn-1.0.oci")["digest"]


REFUSED = {
    "two places": (("--output", "x", "--push", "x/y"), "--output and --push are two places"),
    "a base that is gone": (("--base", "./nowhere"), "is no image layout"),
    "a folder of something else": (("--output", "layers"), "is there and is no image layout"),
    "a digest to push to": (("--push", "x.example.com/y@sha256:" + "0" * 64), "names a digest"),
    "a platform that is not there": (("--platform", "linux/s390x"), "has no platform 'linux/s390x'"),
    "a base with quotes": (("--base", "x'; rm -rf /"), "is not the URL of an OCI registry"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(run, digest: str, name: str, tmp_path: Path) -> None:
    words, why = REFUSED[name]
    before = sorted(tmp_path.rglob("*"))
    ended = run("image", "build", "churn:1.0", *words)
    assert ended.code in (2, 5)
    assert why in ended.err
    assert ended.err.splitlines()[-1].startswith("error: ")
    assert sorted(tmp_path.rglob("*")) == before, "something was written"


def test_without_a_base(run, digest: str, tmp_path: Path) -> None:
    (tmp_path / "mlship.toml").write_text(TOML.partition("[image]")[0])
    ended = run("image", "build", "churn:1.0")
    assert (ended.code, "an image needs a base" in ended.err) == (2, True)


def tampered(tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change manifest and config of the image in churn-1.0.oci, with digests that fit again."""
    layout = BaseLayout.__new__(BaseLayout)
    layout.folder = tmp_path / "churn-1.0.oci"
    listed = json.loads((layout.folder / "index.json").read_bytes())["manifests"][0]
    manifest = json.loads(layout.path(listed["digest"]).read_bytes())
    config = json.loads(layout.path(manifest["config"]["digest"]).read_bytes())
    change(manifest, config)
    kind = manifest["config"]["mediaType"]
    manifest["config"] = layout.blob(json.dumps(config).encode(), kind)
    layout.name(layout.blob(json.dumps(manifest).encode(), listed["mediaType"]))


def one_layer_more(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    manifest["layers"].insert(-1, manifest["layers"][0])
    config["rootfs"]["diff_ids"].insert(-1, config["rootfs"]["diff_ids"][0])


def a_layer_on_top(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    manifest["layers"].append(manifest["layers"][0])
    config["rootfs"]["diff_ids"].append(config["rootfs"]["diff_ids"][0])


def a_layer_less(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    del manifest["layers"][2], config["rootfs"]["diff_ids"][2]


def another_order(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    for found in (manifest["layers"], config["rootfs"]["diff_ids"]):
        found[1], found[2] = found[2], found[1]


def another_diff_id(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["rootfs"]["diff_ids"][1] = "sha256:" + "0" * 64


def setting(key: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        config["config"][key] = value

    return change


def another_bundle(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["config"]["Labels"]["vnd.mlship.bundle"] = "sha256:" + "0" * 64


def no_bundle(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    del config["config"]["Labels"]


TAMPERED = {
    "one layer more": one_layer_more,
    "a layer on top": a_layer_on_top,
    "a layer less": a_layer_less,
    "another order": another_order,
    "another diff id": another_diff_id,
    "root": setting("User", "root"),
    "a shell": setting("Entrypoint", ["/bin/sh", "-c", "x"]),
    "another command": setting("Cmd", ["x"]),
    "an environment": setting("Env", ["PATH=/x", "LD_PRELOAD=/x.so"]),
    "a volume": setting("Volumes", {"/model": {}}),
    "another bundle": another_bundle,
    "no bundle": no_bundle,
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_verify_finds(run, digest: str, tmp_path: Path, name: str) -> None:
    assert run("image", "build", "churn:1.0").code == 0
    tampered(tmp_path, TAMPERED[name])
    ended = run("image", "verify", "churn-1.0.oci")
    assert (ended.code, "is not one of a bundle as mlship makes them" in ended.err) == (4, True), ended.err


def test_one_bit_and_another_base(run, digest: str, tmp_path: Path) -> None:
    built = result(run, "build", "churn:1.0")
    layout = BaseLayout(tmp_path / "third")
    layout.name(layout.image([tar_of(root_files() | {"etc/x": b"x"})]))
    other = run("image", "verify", "churn-1.0.oci", "--base", "third")
    assert (other.code, "is not made over third" in other.err) == (4, True), other.err
    manifest = json.loads(
        (tmp_path / "churn-1.0.oci" / "blobs" / "sha256" / built["digest"][7:]).read_bytes()
    )
    layer = tmp_path / "churn-1.0.oci" / "blobs" / "sha256" / manifest["layers"][1]["digest"][7:]
    data = bytearray(layer.read_bytes())
    data[600] ^= 1
    layer.write_bytes(data)
    assert run("image", "verify", "churn-1.0.oci").code == 4
