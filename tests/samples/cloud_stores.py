"""S3 (moto, checked) and Azure Blob (Azurite) for tests, each behind a proxy that counts and cuts."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cutting_proxy import CuttingProxy, cutting_proxy

from mlship.store.asking import Patience
from mlship.store.protocol import Store

HURRIED = Patience(attempts=4, pause=0.01, longest=0.1, connect=5, stall=3, total=20)
KEY_CANARY = "canary0secret0key0canary0secret0key0cana"
DOCS_ACCOUNT, DOCS_BUCKET, DOCS_CONTAINER = (
    "acmestorage",
    "acme-models",
    "models",
)  # what the docs call theirs
# The account and key that Azurite's documentation gives to everybody.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def azurite() -> str | None:
    """The program, from PATH or from where `make testbed` puts it."""
    cache = os.environ.get("MLSHIP_TEST_CACHE") or Path.home() / ".cache" / "mlship-tests"
    return shutil.which("azurite-blob") or shutil.which(
        str(Path(cache, "azurite/node_modules/.bin/azurite-blob"))
    )


@dataclass
class Cloud:
    """A running server: `fresh` makes a bucket or container and gives its URL."""

    proxy: CuttingProxy
    scheme: str
    server: Azurite | None = None

    def fresh(self) -> str:
        name = f"test-{secrets.token_hex(6)}"
        if self.scheme == "s3":
            self.client().create_bucket(Bucket=name)
            return f"s3://{name}/models"
        self.client().create_container(name)
        return f"azblob://{AZURITE_ACCOUNT}/{name}/models"

    def for_docs(self) -> dict[str, str]:
        """The environment in which the bucket or container of the docs is there."""
        if self.scheme == "s3":
            if not any(found["Name"] == DOCS_BUCKET for found in self.client().list_buckets()["Buckets"]):
                self.client().create_bucket(Bucket=DOCS_BUCKET)
            return self.environment()
        service = self.client(DOCS_ACCOUNT)
        if not list(service.list_containers(DOCS_CONTAINER)):
            service.create_container(DOCS_CONTAINER)
        connection = self.environment()["AZURE_STORAGE_CONNECTION_STRING"]
        return {"AZURE_STORAGE_CONNECTION_STRING": connection.replace(AZURITE_ACCOUNT, DOCS_ACCOUNT)}

    def environment(self) -> dict[str, str]:
        """What a user's shell would have; `endpoint` is the proxy."""
        endpoint = f"http://127.0.0.1:{self.proxy.port}"
        if self.scheme == "s3":
            return {
                "AWS_ENDPOINT_URL_S3": endpoint,
                "AWS_ACCESS_KEY_ID": "AKIACANARYCANARY",
                "AWS_SECRET_ACCESS_KEY": KEY_CANARY,
                "AWS_REGION": "eu-central-1",
            }
        return {
            "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName={AZURITE_ACCOUNT};"
            f"AccountKey={AZURITE_KEY};BlobEndpoint={endpoint}/{AZURITE_ACCOUNT};"
        }

    def client(self, account: str = AZURITE_ACCOUNT) -> Any:
        """The vendor's own client, past the proxy."""
        endpoint = f"http://127.0.0.1:{self.proxy.upstream}"
        if self.scheme == "s3":
            import boto3

            return boto3.client(
                "s3",
                endpoint_url=endpoint,
                region_name="us-east-1",
                aws_access_key_id="a",
                aws_secret_access_key="b",
            )
        from azure.storage.blob import BlobServiceClient

        credential = {"account_name": account, "account_key": AZURITE_KEY}
        return BlobServiceClient(f"{endpoint}/{account}", credential=credential)

    def store(self, url: str, part: int = 5 << 20, patience: Patience = HURRIED) -> Store:
        if self.scheme == "s3":
            from mlship_aws.store import S3Store

            return S3Store(url, patience, part)
        from mlship_azure.store import AzureStore

        return AzureStore(url, patience, part)


@contextlib.contextmanager
def s3_cloud() -> Iterator[Cloud]:
    command = [sys.executable, str(Path(__file__).parent / "s3_server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin
        assert server.stdout
        try:
            with cutting_proxy(int(server.stdout.readline())) as proxy:
                yield Cloud(proxy, "s3")
        finally:
            server.kill()


@dataclass
class Azurite:
    """The process; it can be stopped and started again on its folder, at another port."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = azurite()
        assert program
        command = [program, "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(self.folder)]
        command += ["--disableTelemetry", "--skipApiVersionCheck", "--silent"]
        accounts = ";".join(f"{account}:{AZURITE_KEY}" for account in (AZURITE_ACCOUNT, DOCS_ACCOUNT))
        log = self.folder / "said"
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, "AZURITE_ACCOUNTS": accounts},
            )
        self.port = _port_in(log, self.process)

    def stop(self) -> None:
        """Let it write down what it has acknowledged, which it does not do at once, and end."""
        assert self.process
        self.process.terminate()
        self.process.wait(30)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(10)


@contextlib.contextmanager
def azure_cloud(folder: Path) -> Iterator[Cloud]:
    server = Azurite(folder)
    try:
        server.start()
        with cutting_proxy(server.port) as proxy:
            yield Cloud(proxy, "azblob", server)
    finally:
        server.kill()


def _port_in(log: Path, server: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        for line in log.read_text().splitlines():
            if "listens on http" in line.lower() or "listening" in line.lower():
                return int(line.rsplit(":", 1)[1].strip("/ "))
        time.sleep(0.05)
    pytest.fail(f"Azurite does not listen: {log.read_text()[-500:]}")
