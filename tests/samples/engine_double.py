"""A Docker engine that only tells of images and saves them, over a Unix socket, in both forms of it."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any
from urllib.parse import unquote

from base_images import digest_of

API = "1.41"


def config_of(layers: list[bytes], processor: str = "amd64") -> bytes:
    said = {
        "architecture": processor,
        "os": "linux",
        "config": {"Env": ["PATH=/usr/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
    }
    return json.dumps(said).encode()


def saved_as_before(layers: list[bytes], processor: str = "amd64") -> bytes:
    """As engines up to 24 write it: equal layers are links, and the index comes last."""
    config, first, files = config_of(layers, processor), {}, {}
    links, paths = {}, []
    for number, layer in enumerate(layers):
        path = f"{number:064x}/layer.tar"
        paths.append(path)
        files[f"{number:064x}/VERSION"] = b"1.0"
        if layer in first:
            links[path] = f"../{first[layer]}"
        else:
            first[layer] = path
            files[path] = layer
    name = f"{digest_of(config)[7:]}.json"
    files[name] = config
    files["manifest.json"] = json.dumps([{"Config": name, "RepoTags": None, "Layers": paths}]).encode()
    return _tar(files, links)


def saved_as_now(stored: list[bytes], config: bytes) -> bytes:
    """As later ones do: an image layout, its layers as they are stored."""
    named = [f"blobs/sha256/{digest_of(layer)[7:]}" for layer in stored]
    where = f"blobs/sha256/{digest_of(config)[7:]}"
    index = json.dumps([{"Config": where, "RepoTags": ["python:3.11"], "Layers": named}]).encode()
    first = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "manifest.json": index, where: config}
    return _tar({**first, **dict(zip(named, stored, strict=True))}, {})


def _tar(files: dict[str, bytes], links: dict[str, str]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for path, target in links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return whole.getvalue()


@dataclass
class EngineDouble:
    """`images` by name: the id and what is saved of it; `cut`: so many bytes of it come; `asked`: paths."""

    url: str
    images: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    cut: int | None = None
    asked: list[str] = field(default_factory=list)

    def add(self, name: str, saved: bytes) -> str:
        id_ = digest_of(saved)
        self.images[name] = self.images[id_] = (id_, saved)
        return id_


@contextmanager
def engine_double(folder: Path) -> Iterator[EngineDouble]:
    socket = folder / "engine.socket"
    engine = EngineDouble(f"unix://{socket}")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            """Nothing: a Unix socket has no address to log."""

        def do_GET(self) -> None:
            path = unquote(self.path)
            engine.asked.append(path)
            if path == "/version":
                return self._json(200, {"ApiVersion": API})
            name, _, what = path.removeprefix(f"/v{API}/images/").rpartition("/")
            if name not in engine.images:
                return self._json(404, {"message": f"No such image: {name}"})
            id_, saved = engine.images[name]
            if what == "json":
                return self._json(200, {"Id": id_, "Size": len(saved)})
            self.send_response(200)
            self.send_header("Content-Length", str(len(saved)))
            self.end_headers()
            self.wfile.write(saved[: engine.cut])
            self.close_connection = engine.cut is not None
            return None

        def _json(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class Server(ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield engine
        server.shutdown()
        thread.join()
