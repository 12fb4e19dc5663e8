"""An emulated z/OS for tests, and a plain client of it that knows nothing of mlship's own."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlship_batch.emulator.system import Emulator, Options

USER, PASSWORD = "IBMUSER", "SYS1CANARY"
JOBS, DS, FS, AMS = (
    "/zosmf/restjobs/jobs",
    "/zosmf/restfiles/ds",
    "/zosmf/restfiles/fs",
    "/zosmf/restfiles/ams",
)
DEADLINE = 60  # seconds until a job must have ended


def zowe() -> str | None:
    """The client, from PATH or from where `make testbed` puts it."""
    cache = os.environ.get("MLSHIP_TEST_CACHE") or Path.home() / ".cache" / "mlship-tests"
    return shutil.which("zowe") or shutil.which(str(Path(cache, "zowe/node_modules/.bin/zowe")))


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Zos:
    """A running emulator, asked as z/OSMF is."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    @property
    def port(self) -> int:
        return self.emulator.server.port

    def call(self, method: str, path: str, body: Any = b"", csrf: bool = True, **headers: str) -> Reply:
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = {"Authorization": f"Basic {token}"} | ({"X-CSRF-ZOSMF-HEADER": ""} if csrf else {})
        known |= {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, (dict, list)):
            known["Content-Type"], body = "application/json", json.dumps(body).encode()
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            line.request(method, path, body, known)
            answer = line.getresponse()
            return Reply(answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()})
        finally:
            line.close()

    def put(self, dsn: str, data: bytes, kind: str = "text", **headers: str) -> Reply:
        return self.call("PUT", f"{DS}/{quote(dsn)}", data, X_IBM_Data_Type=kind, **headers)

    def get(self, dsn: str, kind: str = "text") -> bytes:
        reply = self.call("GET", f"{DS}/{quote(dsn)}", X_IBM_Data_Type=kind)
        assert reply.status == 200, reply.body
        return reply.body

    def create(self, dsn: str, **attributes: Any) -> Reply:
        given = {"dsorg": "PS", "recfm": "FB", "lrecl": 80, "primary": 1, "secondary": 1, **attributes}
        return self.call("POST", f"{DS}/{dsn}", given)

    def submit(self, jcl: str) -> dict[str, Any]:
        reply = self.call("PUT", JOBS, jcl.encode(), Content_Type="text/plain", X_IBM_Intrdr_Mode="TEXT")
        assert reply.status == 201, reply.body
        document: dict[str, Any] = reply.json
        return document

    def ended(self, document: dict[str, Any]) -> dict[str, Any]:
        end = time.monotonic() + DEADLINE
        path = f"{JOBS}/{document['jobname']}/{document['jobid']}?step-data=Y"
        while (seen := self.call("GET", path).json)["status"] != "OUTPUT":
            assert time.monotonic() < end, f"the job does not end: {seen}"
            time.sleep(0.01)
        return dict(seen)

    def run(self, jcl: str) -> dict[str, Any]:
        """Submit and wait; the job's document with its steps."""
        return self.ended(self.submit(jcl))

    def spool(self, document: dict[str, Any], ddname: str) -> str:
        place = f"{JOBS}/{document['jobname']}/{document['jobid']}/files"
        for file in self.call("GET", place).json:
            if file["ddname"] == ddname:
                return self.call("GET", f"{place}/{file['id']}/records").body.decode()
        raise AssertionError(f"no spool file {ddname}")

    def names(self, level: str) -> list[str]:
        return [item["dsname"] for item in self.call("GET", f"{DS}?dslevel={level}").json["items"]]


@contextmanager
def emulated(folder: Path, **options: Any) -> Iterator[Zos]:
    emulator = Emulator(Options(folder, {USER: PASSWORD}, **options))
    emulator.start()
    try:
        yield Zos(emulator)
    finally:
        emulator.close()


def completions(document: dict[str, Any]) -> list[tuple[str, str]]:
    """(step, how it ended) of a job."""
    return [(step["step-name"], step["completion"]) for step in document["step-data"]]
