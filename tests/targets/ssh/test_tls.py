"""A release on a Debian host is asked by its TLS listener, with a token, before and after a switch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from debian_service import PATH, Service

from mlship.errors import TargetError, UsageError
from mlship.ops.ways import Caller, ask
from mlship.target.conformance import Bundles
from mlship_runtime.client import Request
from mlship_runtime.trust.tokens import Token, digest_of, new_token, write_tokens

pytestmark = [pytest.mark.hosts, pytest.mark.server]


def test_invoke_by_tls(debian: Any, kit: tuple[str, Bundles], tmp_path: Path) -> None:
    host, first, token = debian.host("bare"), kit[1].first, new_token()
    ours, strange = Authority(tmp_path, "ours"), Authority(tmp_path, "strange")
    (tmp_path / "token").write_text(token)
    write_tokens(tmp_path / "tokens", [Token("ci", digest_of(token.encode()), "2026-01-01")])
    certificate, key = ours.issue("model1", host.ip)
    for path in (tmp_path / "tokens", certificate, key):
        host.run("tee", f"/home/guest/{path.name}", given=path.read_bytes())
        host.run("chown", "guest", f"/home/guest/{path.name}")
        host.run("chmod", "600", f"/home/guest/{path.name}")
    there = {
        name: f"/home/guest/{path.name}"
        for name, path in {"tokens": tmp_path / "tokens", "certificate": certificate, "key": key}.items()
    }
    external = {"host": "0.0.0.0", "port": 8443, **there}
    service = Service(host, "guest", tmp_path)
    asked = Request(PATH, json.dumps({"inputs": first.golden()["inputs"]}).encode())
    knows = Caller(token_file=str(tmp_path / "token"), ca=str(ours.file))
    for bundle in (first, kit[1].second):
        service.deploy(bundle, host="127.0.0.1", external=external)
        adapter = service.adapter()
        answer, way = ask(adapter, asked, knows, None)
        assert (answer.status, way) == (200, "endpoint")
        assert json.loads(answer.body)["model_version"] == bundle.digest
    assert f"https://{host.ip}:8443" in [end.url for end in adapter.observe().endpoints]
    with pytest.raises(UsageError, match="asks for a token"):
        ask(adapter, asked, Caller(), "endpoint")
    with pytest.raises(TargetError, match="no whole answer") as refused:
        ask(adapter, asked, Caller(token_file=knows.token_file, ca=str(strange.file)), None)
    assert "--ca FILE" in refused.value.fix
    assert ask(adapter, asked, Caller(), None)[1] == "tunnel"
    service.purge()
