"""What S3 and Azure Blob must do alike: parts used again, lost answers, a server that stays away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import pytest
from cutting_proxy import Cut

from mlship.errors import RegistryError
from mlship.store.asking import Patience


@dataclass(frozen=True)
class Words:
    """How a vendor says it: a stored part's request and status, the one that makes a value of parts, how to
    get credentials; and what mlship's store for it is called and needs."""

    part: int
    upload: str
    stored: int
    finish: tuple[str, str]
    login: str
    store: tuple[str, str]
    extra: tuple[str, str, str]


OF = {
    "s3": Words(
        5 << 20,
        "partNumber=",
        200,
        ("POST", "uploadId="),
        "aws sso login",
        ("mlship_aws.store", "S3Store"),
        ("s3://bucket", "boto3", "aws"),
    ),
    "azblob": Words(
        1 << 20,
        "comp=block&",
        201,
        ("PUT", "comp=blocklist"),
        "az login",
        ("mlship_azure.store", "AzureStore"),
        ("azblob://account/container", "azure.storage.blob", "azure"),
    ),
}
CLOUDS = pytest.mark.parametrize("cloud", OF, indirect=True)
LOST = pytest.mark.parametrize("kind", ["reset", "close", "500"])


_PUSH = """
import sys
from {module} import {store}
def chunks():
    for number in range(6):
        yield bytes([number]) * {part}
    print("all", flush=True)
    sys.stdin.read()
    yield b"end"
{store}({url!r}, part={part}).write_if_absent("blobs/x", chunks())
"""


@CLOUDS
def test_a_killed_writers_parts_are_not_sent_again(cloud: Any) -> None:
    url, words = cloud.fresh(), OF[cloud.scheme]
    code = _PUSH.format(url=url, part=words.part, module=words.store[0], store=words.store[1])
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as writer:
        assert writer.stdout
        assert "all" in writer.stdout.readline()
        time.sleep(1)  # the last parts arrive
        writer.send_signal(signal.SIGKILL)
    there = len([sent for sent in cloud.proxy.of("PUT", words.upload) if sent.status == words.stored])
    assert there >= 2
    assert cloud.store(url).stat("blobs/x") is None
    cloud.proxy.seen.clear()
    pieces = [bytes([number]) * words.part for number in range(6)] + [b"end"]
    assert cloud.store(url, words.part).write_if_absent("blobs/x", pieces)
    assert len(cloud.proxy.of("PUT", words.upload)) == 7 - there
    assert cloud.proxy.of("POST", r"\?uploads") == [], "another upload was begun"
    assert b"".join(cloud.store(url).read("blobs/x")) == b"".join(pieces)


@CLOUDS
def test_parts_of_another_content_are_not_used(cloud: Any) -> None:
    part = OF[cloud.scheme].part
    store = cloud.store(cloud.fresh(), part)

    def cut_off() -> Any:
        yield bytes(3 * part)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_if_absent("blobs/x", cut_off())
    data = b"\1" * 3 * part
    assert store.write_if_absent("blobs/x", [data])
    assert b"".join(store.read("blobs/x")) == data


@CLOUDS
@LOST
def test_a_write_whose_answer_is_lost_has_happened_once(cloud: Any, kind: str) -> None:
    store = cloud.store(cloud.fresh())
    cloud.proxy.cuts[:] = [Cut(kind, "PUT", "tags/prod", lose_answer=True)]
    version = store.write_if_match("tags/prod", b"1", None)
    assert version is not None
    assert store.get("tags/prod") == (b"1", version)
    cloud.proxy.cuts[:] = [Cut(kind, "PUT", "tags/prod", lose_answer=True)]
    second = store.write_if_match("tags/prod", b"2", version)
    assert store.get("tags/prod") == (b"2", second)
    cloud.proxy.cuts[:] = [Cut(kind, "DELETE", "tags/prod", lose_answer=True)]
    assert store.delete_if_match("tags/prod", second)
    assert store.get("tags/prod") is None


@CLOUDS
def test_the_answer_that_ends_an_upload_is_lost(cloud: Any) -> None:
    url, words = cloud.fresh(), OF[cloud.scheme]
    data = os.urandom(2 * words.part + 1)
    cloud.proxy.cuts[:] = [Cut("reset", *words.finish, lose_answer=True)]
    assert cloud.store(url, words.part).write_if_absent("blobs/x", [data])
    assert cloud.proxy.cuts[0].hit
    assert b"".join(cloud.store(url).read("blobs/x")) == data


@CLOUDS
def test_a_server_that_stays_away_is_given_up_in_time(cloud: Any) -> None:
    store = cloud.store(cloud.fresh(), patience=Patience(attempts=3, pause=0.01, stall=0.3, total=5))
    cloud.proxy.cuts[:] = [Cut("stall", "GET", "x") for _ in range(5)]
    began = time.monotonic()
    with pytest.raises(RegistryError, match="cannot be reached or stopped answering"):
        store.get("x")
    assert time.monotonic() - began < 5
    cloud.proxy.cuts[:] = [Cut("503", "GET", "x") for _ in range(5)]
    with pytest.raises(RegistryError, match=r"it answers 503.* again and again. Repeat the command later"):
        store.get("x")
    cloud.proxy.cuts[:] = [Cut("401", "GET", "x") for _ in range(5)]
    login = OF[cloud.scheme].login
    with pytest.raises(RegistryError, match=rf"the credentials are not accepted. Run `{login}`"):
        store.get("x")
    assert sum(cut.hit for cut in cloud.proxy.cuts) <= 2


@pytest.mark.parametrize("scheme", OF)
def test_a_missing_extra_is_one_sentence(scheme: str) -> None:
    url, package, extra = OF[scheme].extra
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from mlship.store import open_store\n"
        f"try: open_store({url!r}).get('x')\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"{scheme}:// needs a package that is not installed ({package}). "
        f"pip install 'mlship-toolchain[{extra}]'\n"
    )


@pytest.mark.parametrize("scheme", OF)
def test_opening_imports_nothing_heavy(scheme: str) -> None:
    code = (
        f"import sys\nfrom mlship.registry import open_registry\nopen_registry({OF[scheme].extra[0]!r})\n"
        "heavy = ('boto3', 'botocore', 'azure', 'requests', 'urllib3')\n"
        "print([name for name in sys.modules if name.split('.')[0] in heavy])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
