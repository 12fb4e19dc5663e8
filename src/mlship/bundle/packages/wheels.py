"""Wheel files by sha256: fetched once into the cache, checked whenever they are new."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from urllib.parse import unquote, urlsplit

from mlship.bundle.packages.resolve import Wheel, locate
from mlship.config import cache_dir
from mlship.digest import CHUNK
from mlship.errors import BuildError
from mlship.progress import Progress

_AT_ONCE = 8
_TIMEOUT = 60.0  # seconds without a byte
_TRIES = 3
_CREDENTIALS = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


def wheel_path(wheel: Wheel) -> Path:
    """Where the cache keeps it, whether it is there or not."""
    return cache_dir() / "wheels" / wheel.sha256


def fetch(wheels: Iterable[Wheel], urls: Mapping[str, str], python: str, progress: Progress) -> None:
    """Bring all `wheels` into the cache. `urls` (by sha256) may be incomplete: the rest is looked up by exact
    version. Raises BuildError if one cannot be had or is not what the lock says."""
    missing = sorted({wheel for wheel in wheels if not wheel_path(wheel).is_file()})
    if not missing:
        return
    known = dict(urls)
    if any(wheel.sha256 not in known for wheel in missing):
        known |= locate([wheel for wheel in missing if wheel.sha256 not in known], python)
    for wheel in missing:
        if wheel.sha256 not in known:
            raise BuildError(
                f"the index no longer has {wheel.file} as it was locked",
                cause="it was removed or replaced there",
                fix="Renew the lock: mlship lock --upgrade",
            )
    progress.phase("fetch wheels", len(missing))
    folder = cache_dir() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    context = ssl.create_default_context()  # honours SSL_CERT_FILE and SSL_CERT_DIR
    stop = Event()  # after an error or Ctrl-C the others end at their next chunk
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for _ in pool.map(lambda wheel: _fetch_one(wheel, known[wheel.sha256], context, stop), missing):
            progress.advance()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    size = sum(wheel_path(wheel).stat().st_size for wheel in missing)
    progress.say(f"Fetched {len(missing)} wheels, {size / 1e6:.1f} MB")


def _fetch_one(wheel: Wheel, url: str, context: ssl.SSLContext, stop: Event) -> None:
    final = wheel_path(wheel)
    part = final.with_name(f"{wheel.sha256}.part-{os.getpid()}")
    try:
        found = _download(wheel, url, part, context, stop)
        if stop.is_set():
            return
        if found != wheel.sha256:
            raise BuildError(
                f"{wheel.file} is not the file that was locked",
                cause=f"its sha256 is {found[:16]}…, locked is {wheel.sha256[:16]}…",
                fix="Find out who changed it; mlship lock --upgrade would take it as it is",
            )
        part.replace(final)
    except OSError as error:
        raise BuildError(
            f"the cache cannot be written: {final.parent}", cause=error.strerror or str(error)
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _download(wheel: Wheel, url: str, part: Path, context: ssl.SSLContext, stop: Event) -> str:
    """Write the content of `url` to `part` and return its sha256; tries again where the network failed."""
    fault: Exception | None = None
    for _ in range(_TRIES):
        hasher = hashlib.sha256()
        try:
            answer = urllib.request.urlopen(_request(url), timeout=_TIMEOUT, context=context)  # noqa: S310
            with answer, part.open("wb") as file:
                while not stop.is_set() and (chunk := answer.read(CHUNK)):
                    hasher.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            return hasher.hexdigest()
        except urllib.error.HTTPError as error:
            fault = error
            if error.code < 500:
                break
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            fault = error
    reason = getattr(fault, "reason", None) or fault
    raise BuildError(
        f"{wheel.file} cannot be fetched",
        cause=str(reason),
        fix="Check the network and build again; it goes on there",
    ) from fault


def _request(url: str) -> urllib.request.Request:
    """With the user and password of the index, where the file lies on the same host and scheme."""
    place = urlsplit(url)
    if place.scheme not in ("https", "http", "file"):
        raise BuildError(f"the index names a file that cannot be fetched ({place.scheme})")
    bare = place._replace(netloc=place.netloc.rpartition("@")[2])
    request = urllib.request.Request(bare.geturl())  # noqa: S310
    for candidate in (place, *(urlsplit(os.environ.get(name, "")) for name in _CREDENTIALS)):
        if candidate.username and (candidate.scheme, candidate.hostname) == (place.scheme, place.hostname):
            pair = f"{unquote(candidate.username)}:{unquote(candidate.password or '')}"
            request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
            break
    return request
