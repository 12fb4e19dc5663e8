"""The Docker engine that the `docker` command would ask: found as that finds it, over its own SDK.

DOCKER_HOST (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH) goes before DOCKER_CONTEXT, and that before the
context which the user has chosen; without any of them it is the local socket.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlship.errors import RegistryError, UsageError

_PATIENCE = 60.0  # seconds between two pieces of an answer


def connect(
    host: str = "",
    context: str = "",
    environment: Mapping[str, str] = os.environ,
    patience: float = _PATIENCE,
) -> Any:
    """A `docker.APIClient` of the engine at the URL `host`, or of the Docker context `context`, or of the one
    that `environment` and the user's Docker settings name. Raises UsageError for a context that is not there,
    or without the SDK, RegistryError if the engine cannot be reached."""
    docker = _sdk()
    with engine_errors():
        said = _address(docker, host, context, environment)
        over_ssh = said.get("base_url", "").startswith("ssh://")
        return engine_client(timeout=patience, use_ssh_client=over_ssh, **said)


def engine_client(**settings: Any) -> Any:
    """A `docker.APIClient` with `settings`. It believes the authority that these name, as `docker` does; that
    class alone would rather believe REQUESTS_CA_BUNDLE. Raises UsageError without the SDK, and what the SDK
    raises."""
    docker = _sdk()

    class Client(docker.APIClient):  # type: ignore[misc, name-defined]
        def merge_environment_settings(
            self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
        ) -> Any:
            named = self.verify if verify is None else verify
            return super().merge_environment_settings(url, proxies, stream, named, cert)

    return Client(version="auto", **settings)


@contextmanager
def engine_errors() -> Iterator[None]:
    """What the SDK raises as RegistryError: the engine's own words in one line."""
    docker = _sdk()
    from requests.exceptions import RequestException

    try:
        yield
    except docker.errors.APIError as error:
        raise RegistryError("the Docker engine refused", cause=error.explanation or str(error)) from error
    except (docker.errors.DockerException, RequestException, OSError) as error:
        raise RegistryError(
            "the Docker engine cannot be reached",
            cause=_innermost(error),
            fix="Look with docker info; DOCKER_HOST or DOCKER_CONTEXT names another engine",
        ) from error


def _address(docker: Any, host: str, context: str, environment: Mapping[str, str]) -> dict[str, Any]:
    if host or (not context and environment.get("DOCKER_HOST")):
        said = {**environment, **({"DOCKER_HOST": host} if host else {})}
        found: dict[str, Any] = docker.utils.kwargs_from_env(environment=said)
        return found
    name = context or environment.get("DOCKER_CONTEXT") or None
    if docker.ContextAPI.get_context(name) is None:
        raise UsageError(f"there is no Docker context {name!r}", fix="docker context ls shows them")
    chosen: dict[str, Any] = docker.ContextAPI.kwargs_from_context(name, environment)
    return chosen


def _innermost(error: BaseException) -> str:
    """The libraries wrap the reason several times, each with the whole text of the one below."""
    seen = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    return (seen.strerror or str(seen)) if isinstance(seen, OSError) else str(seen)


def _sdk() -> Any:
    try:
        import docker
    except ModuleNotFoundError as missing:
        raise UsageError(
            "a Docker engine needs a package that is not installed (docker)",
            fix="pip install 'mlship-toolchain[docker]'",
        ) from missing
    return docker
