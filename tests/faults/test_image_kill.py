"""kill -9 of an image's push at each request that it makes of a registry: a tag names what is whole, if it is
there, and a repeat completes the push."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from base_images import BaseLayout, make_image_bundle, root_files, tar_of
from oci_double import Double, Handler, running
from sampling import Some

from mlship.bundle.open import verify_bundle
from mlship.image.opened import bundle_in, check_made, open_images
from mlship.image.places import parse_image
from mlship.registry.over_store import open_folder

pytestmark = pytest.mark.faults

PUSH = """
import sys
from mlship.ops.context import Context
from mlship.ops.image_build import build_image
ctx = Context()
build_image(ctx, sys.argv[1], base=sys.argv[2], push=sys.argv[3])
"""


def test_push_killed_at_each_request(tmp_path: Path, own_cache: Path, some: Some) -> None:
    """An index of two platforms: its manifests, then the index under the tag, are the last to be written."""
    source = open_folder(f"dir://{tmp_path}/source")
    digest = make_image_bundle(source, tmp_path / "layers", arm=True)
    layout = BaseLayout(tmp_path / "base")
    bases = {x: layout.image([tar_of(root_files(x))], processor=x) for x in ("amd64", "arm64")}
    layout.name(layout.index(bases))
    words = [f"{source.url}/churn@{digest}", str(layout.folder)]
    point = 1
    while killed_at(point, words):
        point += some.stride(cost=3)
    print(f"{point - 1} requests")
    assert point > 30


def killed_at(point: int, words: list[str]) -> bool:
    """Push into a fresh registry that kills the client at request `point`; False if it came through."""
    with running(Double()) as double:
        clients: list[int] = []

        def lie(handler: Handler) -> bool:
            if clients and len(double.seen) >= point:
                os.kill(clients[0], signal.SIGKILL)
            return False

        double.lie = lie
        command = [sys.executable, "-c", PUSH, *words, f"{double.host}/team/churn:1"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as client:
            clients.append(client.pid)
            code = client.wait(120)
        assert code in (0, -signal.SIGKILL)
        double.lie = None
        if ("team/churn", "1") in double.manifests:
            check_whole(double)
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)
        check_whole(double)
        return code != 0


def check_whole(double: Double) -> None:
    _, images = open_images(parse_image(f"{double.host}/team/churn:1"))
    assert len(images) == 2
    for image in images:
        bundle = bundle_in(image)
        check_made(image, bundle)
        verify_bundle(bundle)
