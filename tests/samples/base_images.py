"""Base images without a Debian: layers with just what a bundle needs of a base, as image layouts."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sample_bundle import LINUX, make_layers, make_spec, write_bundle

from mlship.bundle.archive import write_layer
from mlship.bundle.source import BundleSink

ARM = LINUX.replace("amd64", "arm64")
MACHINES = {"amd64": 62, "arm64": 183}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PATH = "PATH=/usr/local/bin:/usr/bin:/bin"

Entry = bytes | str | None  # content, target of a link, or a folder


def python_file(processor: str = "amd64") -> bytes:
    """The head of an ELF file."""
    return b"\x7fELF\x02\x01" + bytes(12) + MACHINES[processor].to_bytes(2, "little") + bytes(44)


def libc(version: str = "2.36") -> bytes:
    return (
        b"\0" * 99 + f"GNU C Library (Debian GLIBC {version}-9) stable release version {version}.\n".encode()
    )


def root_files(processor: str = "amd64", python: str = "3.11", glibc: str = "2.36") -> dict[str, Entry]:
    """What stands for Debian with Python."""
    library = f"usr/lib/{processor}-linux-gnu"
    return {
        "lib": "usr/lib",
        f"usr/bin/python{python}": python_file(processor),
        "usr/bin/python3": f"python{python}",
        f"usr/lib/python{python}/asyncio/__init__.py": b"",
        f"{library}/libc.so.6": libc(glibc),
        f"{library}/libstdc++.so.6": "libstdc++.so.6.0.30",
        f"{library}/libgcc_s.so.1": b"\x7fELF",
        "etc/passwd": b"root:x:0:0::/:/bin/sh\n",
        "tmp": None,
    }


def tar_of(files: dict[str, Entry], form: int = tarfile.PAX_FORMAT) -> bytes:
    """As other tools write it: names begin with `./`."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=form) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(f"./{path}")
            if isinstance(content, bytes):
                member.size, member.mode = len(content), 0o755
            elif content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            else:
                member.type, member.linkname = tarfile.SYMTYPE, content
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return whole.getvalue()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class BaseLayout:
    """An image layout in `folder` that a test fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        self.path(digest_of(data)).write_bytes(data)
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def path(self, digest: str) -> Path:
        return self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def image(
        self,
        layers: Sequence[bytes],
        *,
        processor: str = "amd64",
        compressed: bool = False,
        config: dict[str, Any] | None = None,
        **changed: Any,
    ) -> dict[str, Any]:
        """The descriptor of a manifest with these layers (tars); `config` goes into its config's `config`,
        `changed` into its config."""
        kind = f"{LAYER}+gzip" if compressed else LAYER
        stored = [gzip.compress(layer, 1, mtime=0) if compressed else layer for layer in layers]
        said = {
            "architecture": processor,
            "os": "linux",
            "config": {"Env": [PATH], **(config or {})},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
            **changed,
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(json.dumps(said).encode(), CONFIG),
            "layers": [self.blob(data, kind) for data in stored],
        }
        return self.blob(json.dumps(manifest).encode(), MANIFEST)

    def index(self, images: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The descriptor of an index of images by processor."""
        listed = [{**x, "platform": {"os": "linux", "architecture": name}} for name, x in images.items()]
        data = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
        return self.blob(json.dumps(data).encode(), INDEX)

    def name(self, *images: dict[str, Any]) -> None:
        """What index.json lists."""
        data = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(images)}
        (self.folder / "index.json").write_text(json.dumps(data))


def make_base(folder: Path, *, compressed: bool = True, **said: Any) -> BaseLayout:
    """A base for linux/amd64 that fits the sample bundle; `said` is for `root_files`."""
    layout = BaseLayout(folder)
    layout.name(layout.image([tar_of(root_files(**said))], compressed=compressed))
    return layout


def make_image_bundle(sink: BundleSink, folder: Path, *, arm: bool = False, model: bytes = b"a model") -> str:
    """The sample bundle with a runtime that knows containers, `churn` in `sink`; its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = make_layers(folder, model=model)
    runtime = "runtime/any/mlship_runtime"
    starts = {f"{runtime}/boot.py": b"", f"{runtime}/supervision/container.py": b""}
    layers[2] = write_layer(folder / "any.tar", "runtime", starts.items(), platform="any")
    if arm:
        files = {f"runtime/{ARM}/numpy/core.so": b"\x7fELF" * 100}
        layers.insert(4, write_layer(folder / "arm.tar", "runtime", files.items(), platform=ARM))
    document = make_spec(layers)
    if arm:
        platforms = document["runtime"]["platforms"]
        platforms[ARM] = platforms[LINUX]
    return write_bundle(sink, layers, document)
