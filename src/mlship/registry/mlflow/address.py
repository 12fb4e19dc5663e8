"""Where an MLflow server is, `mlflow://HOST[:PORT][/REGISTERED-MODEL]`, and whether TLS is spoken there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlship.errors import UsageError
from mlship.registry.oci.address import is_loopback

_URL = re.compile(
    r"(?P<scheme>mlflow|mlflow\+http|mlflow\+https)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?"
    r"(?:/(?P<model>[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,198}[A-Za-z0-9_-])?))?/?"
)


@dataclass(frozen=True)
class Address:
    """`model` is the registered model that the URL names; empty where each bundle has one of its own name."""

    scheme: str
    host: str  # with its port
    model: str = ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}" + (f"/{self.model}" if self.model else "")

    @property
    def plain(self) -> bool:
        """Whether it is spoken to without TLS: on this machine, or where the URL asks for it."""
        return self.scheme == "mlflow+http" or (self.scheme == "mlflow" and is_loopback(self.host))

    @property
    def root(self) -> str:
        """What the paths of the interface are added to; also what MLFLOW_TRACKING_URI says of this server."""
        return f"{'http' if self.plain else 'https'}://{self.host}"

    def registered(self, name: str) -> str:
        """The registered model that holds the bundle `name`."""
        return self.model or name


def parse_address(url: str) -> Address:
    """Read the URL of a registry; UsageError, without showing what may be a password, if it is none."""
    found = _URL.fullmatch(url)
    if not found or int((found["port"] or ":0")[1:]) > 65535:
        if "@" in url:
            raise UsageError(
                "the URL of a registry holds no credentials",
                fix="Leave out what stands before @, and set MLFLOW_TRACKING_USERNAME and _PASSWORD",
            )
        raise UsageError(
            f"{url[:200]!r} is not the URL of an MLflow server",
            fix="Write mlflow://HOST[:PORT][/REGISTERED-MODEL], a model's name in A-Z a-z 0-9 . _ -",
        )
    host = (found["host"] + (found["port"] or "")).lower()
    return Address(found["scheme"], host, found["model"] or "")


def of_tracking_uri(uri: str) -> Address:
    """The server that MLFLOW_TRACKING_URI names, which says by its scheme whether TLS is wanted."""
    there = urlsplit(uri)
    if there.scheme not in ("http", "https") or there.path.strip("/") or there.query or "@" in there.netloc:
        raise UsageError(
            "MLFLOW_TRACKING_URI does not name an MLflow server",
            fix="Write http://HOST:PORT or https://HOST, credentials in variables of their own",
        )
    return parse_address(f"mlflow+{there.scheme}://{there.netloc}")
