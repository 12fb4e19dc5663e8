"""A connection to an engine, made when it is first needed, and its errors as ours."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from mlship.errors import TargetError
from mlship.host.protocol import Lost, Unreached
from mlship.image.engine import engine_client
from mlship_docker.finding import EngineAddress
from mlship_docker.tunnel import SshTunnel

OLDEST = (1, 41)  # the API of Docker 20.10
_TIMEOUT = 120.0  # seconds without a word from the engine
_BRINGING = 1800.0  # the same while it unpacks an image


class Engine:
    """`api` is the SDK's client; whoever uses it does so within `asked`."""

    def __init__(self, address: EngineAddress) -> None:
        self.address = address
        self._tunnel: SshTunnel | None = None

    @cached_property
    def api(self) -> Any:
        """Raises Unreached, TargetError."""
        return self._client(_TIMEOUT)

    @cached_property
    def patient(self) -> Any:
        """The same for what takes long."""
        return self._client(_BRINGING)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the engine tells of itself (`docker info`)."""
        with self.asked("the engine does not tell of itself"):
            found: dict[str, Any] = self.api.info()
            return found

    @property
    def platform(self) -> tuple[str, str]:
        """System and processor, as images name them."""
        with self.asked("the engine does not tell of itself"):
            version = self.api.version()
        return str(version["Os"]), str(version["Arch"])

    @property
    def keeps_layers(self) -> bool:
        """Whether it takes an image of which only the layers come that it lacks: Docker's own store does,
        containerd's does not."""
        status = self.about.get("DriverStatus") or ()
        return not any("containerd" in str(value) for _, value in status)

    @contextmanager
    def asked(self, what: str, fix: str = "") -> Iterator[None]:
        """Around every use of `api`: what the engine refuses is a TargetError that begins with `what`."""
        import requests
        from docker.errors import APIError, DockerException

        try:
            yield
        except APIError as error:
            raise TargetError(what, cause=_line(error.explanation or error), fix=fix) from error
        except (requests.exceptions.RequestException, DockerException, OSError) as error:
            raise self._unreached(error) from error

    def close(self) -> None:
        for name in ("api", "patient"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None

    def _client(self, timeout: float) -> Any:
        from docker.tls import TLSConfig

        address, tls = self.address, False
        with self.asked("the engine refuses us"):
            if address.kind == "ssh":
                self._tunnel = self._tunnel or SshTunnel(address.url)
            if address.certificates:
                pair = (address.file("cert.pem"), address.file("key.pem"))
                tls = TLSConfig(
                    client_cert=pair,
                    ca_cert=address.file("ca.pem") if address.verify else None,
                    verify=address.verify,
                )
            url = self._tunnel.url if self._tunnel else address.url
            client = engine_client(base_url=url, timeout=timeout, tls=tls)
        weakref.finalize(self, client.close)
        return client

    def _unreached(self, error: BaseException) -> TargetError:
        text, url = str(error), self.address.url
        named = f"the engine at {url}"
        if self._tunnel is not None:
            cause = self._tunnel.said() or _line(error)
            fix = f"Look with: ssh {url.removeprefix('ssh://')} docker version"
            return Lost(f"{named} cannot be reached", cause=cause, fix=fix)
        if "PermissionError" in text or "Permission denied" in text:
            fix = "Add yourself to the group docker (which makes you root there), or use a rootless engine"
            return Unreached(f"you may not use {named}", cause="permission denied", fix=fix)
        if "FileNotFoundError" in text or "No such file" in text:
            fix = "Start it (systemctl start docker), or name another with `engine`, `context` or DOCKER_HOST"
            return Unreached(f"no engine listens at {url}", cause=f"{self.address.by} names it", fix=fix)
        fix = "Look whether it runs: docker version"
        return Lost(f"{named} does not answer", cause=_line(error), fix=fix)


def _line(error: object) -> str:
    """The innermost message, in one line."""
    text = " ".join(str(error).split())
    return text[:300] or type(error).__name__
