"""Domains as they are seen from outside: exit 9, the rule and the next step, and nothing was moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_bundle import make_bundle
from sample_project import count_as_built, own_registry

from mlship.registry import open_registry

TOML = """[project]
name = "churn"
version = "1.0"
domain = "eu-onprem"
[model]
source = "m"
[trust]
keys = { security = "security.pub", ci = "ci.pub" }
policy_by = ["security"]
[registries.eu]
url = "dir://./eu"
domain = "eu-onprem"
[registries.cloud]
url = "dir://./cloud"
domain = "eu-cloud"
[registries.us]
url = "dir://./us"
domain = "us"
[registries.open]
url = "dir://./open"
[targets.prod]
type = "local"
domain = "eu-cloud"
[targets.here]
type = "local"
"""
POLICY = """schema = 1
name = "cloud-rules"
version = {version}
domain = "eu-cloud"
[allow.internal]
labels = {{ sensitivity = ["internal"] }}
from = ["eu-onprem"]
to = ["eu-cloud"]
why = "contract 12"
"""
PERSONAL, INTERNAL = {"sensitivity": "personal"}, {"sensitivity": "internal"}
Made = Callable[..., str]


@pytest.fixture
def made(run, tmp_path: Path) -> Made:
    """`made(labels, rows)`: a project with keys and a build that has these labels; its digest."""
    for name in ("security", "ci"):
        assert run("key", "generate", f"{name}.key").code == 0
    (tmp_path / "mlship.toml").write_text(TOML)

    def make(labels: dict[str, str], rows: dict[str, str] | None = None, version: str = "1.0") -> str:
        store = own_registry(tmp_path)
        digest = make_bundle(store, version=version, labels=labels, row_labels=rows)
        return count_as_built(tmp_path, digest, version)

    return make


@pytest.fixture
def ruled(run, tmp_path: Path) -> Callable[..., None]:
    """`ruled(place)`: it has the signed policy in this version."""

    def rule(place: str = "cloud", version: int = 1, text: str = POLICY) -> None:
        (tmp_path / "cloud.toml").write_text(text.format(version=version))
        ended = run("policy", "set", place, "cloud.toml", "--key", "security.key")
        assert (ended.code, ended.err) == (0, "")

    return rule


def audit(run, *place: str) -> list[dict]:
    ended = run("policy", "audit", *place, "--verify", "--json")
    assert ended.code == 0
    return ended.envelope["result"]["entries"]


def facts(run, *place: str) -> list[tuple[str, str]]:
    return [(entry["fact"]["verb"], entry["fact"]["kind"]) for entry in audit(run, *place)]


def bytes_in(folder: Path) -> list[Path]:
    """What a registry has of bundles."""
    kept = ("blobs", "manifests", "tags", "intents", "attachments")
    return [path for kind in kept for path in (folder / kind).rglob("*") if path.is_file()]


def test_what_is_sensitive_does_not_cross_by_itself(made: Made, run, tmp_path: Path) -> None:
    """Without any policy: it is labelled, and the domains differ."""
    digest = made(PERSONAL)
    ended = run("push", "churn:1.0", "us")
    assert (ended.code, ended.out) == (9, "")
    said = ended.err.splitlines()[-1]
    assert said == (
        f"error: churn@{digest} may not go to the registry us: mlship refuses it by sensitive: "
        "sensitivity=personal is sensitive, and no rule lets it go from eu-onprem to us. "
        'It needs an allow rule with labels = { sensitivity = ["personal"] }, '
        'from = ["eu-onprem"], to = ["us"]; '
        "see mlship policy explain"
    )
    assert bytes_in(tmp_path / "us") == []
    assert facts(run) == [("push", "refused")]
    assert run("push", "churn:1.0", "eu").code == 0
    assert run("push", "churn:1.0", "open").code == 9


def test_a_rule_lets_it_go_and_that_is_written_down(made: Made, ruled, run, tmp_path: Path) -> None:
    ruled()
    digest = made(INTERNAL)
    assert run("push", "churn:1.0", "cloud").code == 0
    set_, allowed, done = audit(run, "cloud")
    assert (set_["fact"]["kind"], set_["fact"]["policies"]) == ("policy", ["cloud-rules 1"])
    assert allowed["fact"]["digest"] == done["fact"]["digest"] == digest
    assert (allowed["fact"]["kind"], allowed["fact"]["rule"]) == ("allowed", "cloud-rules: allow.internal")
    assert (allowed["fact"]["source"]["domain"], allowed["fact"]["to"]["domain"]) == ("eu-onprem", "eu-cloud")
    assert allowed["fact"]["labels"] == ["sensitivity=internal"]
    assert (done["fact"]["kind"], done["fact"]["of"]) == ("done", allowed["sequence"])
    made(PERSONAL, version="1.1")
    before = bytes_in(tmp_path / "cloud")
    refused = run("push", "churn:1.1", "cloud")
    assert (refused.code, "cloud-rules refuses it by sensitive" in refused.err) == (9, True)
    assert bytes_in(tmp_path / "cloud") == before
    assert facts(run, "cloud")[3:] == [("push", "refused")]


def test_every_way_there_is_watched(made: Made, ruled, run, tmp_path: Path) -> None:
    """push, copy, pull, export, serve, deploy and plan, each with its verb in the log of the place."""
    ruled()
    made(PERSONAL)
    for words in (
        ("push", "churn:1.0", "cloud"),
        ("copy", "churn:1.0", "cloud"),
        ("copy", "churn:1.0", f"dir://{tmp_path}/cloud/"),
        ("deploy", "prod", "churn:1.0"),
        ("plan", "prod", "churn:1.0"),
        ("export", "churn:1.0", "out.tar"),
    ):
        ended = run(*words)
        assert (ended.code, words) == (9, words)
    assert not (tmp_path / "out.tar").exists()
    assert facts(run, "cloud")[1:] == [("push", "refused"), ("copy", "refused"), ("copy", "refused")]
    assert facts(run) == [("deploy", "refused"), ("export", "refused")]
    # What lies there already, since before there was a policy, does not come back by itself either.
    source, cloud = open_registry(f"dir://{tmp_path}/.mlship/store"), open_registry(f"dir://{tmp_path}/cloud")
    from mlship.registry.transfer import copy

    copy(source, cloud, "churn", source.tags("churn")["1.0"], tag="1.0")
    for words in (("pull", "cloud/churn:1.0"), ("serve", "cloud/churn:1.0")):
        assert run(*words).code == 9
    assert facts(run, "cloud")[4:] == [("pull", "refused"), ("unpack", "refused")]


def test_a_file_is_outside_of_every_domain(made: Made, run, tmp_path: Path) -> None:
    made({"team": "risk"})
    assert run("export", "churn:1.0", "out.tar").code == 0
    made(PERSONAL)
    assert run("export", "churn:1.0", "secret.tar").code == 9
    (tmp_path / "policy.toml").write_text(
        'schema = 1\nname = "own"\nversion = 1\ndomain = "eu-onprem"\n'
        '[allow.carry]\nlabels = { sensitivity = ["personal"] }\nfrom = ["eu-onprem", "file"]\n'
        'to = ["file", "eu-onprem"]\n'
    )
    assert run("export", "churn:1.0", "secret.tar").code == 0
    assert run("import", "secret.tar", "eu").code == 0
    refused = run("import", "secret.tar", "us")
    assert (refused.code, bytes_in(tmp_path / "us")) == (9, [])
    assert run("import", "out.tar", "us").code == 0


def test_a_project_can_only_tighten(made: Made, ruled, run, tmp_path: Path) -> None:
    ruled()
    made(INTERNAL)
    own = 'schema = 1\nname = "own"\nversion = 1\ndomain = "eu-onprem"\n'
    everything = '[allow.all]\nlabels = { sensitivity = ["*"] }\nfrom = ["*"]\nto = ["*"]\n'
    (tmp_path / "policy.toml").write_text(own + everything)
    assert run("push", "churn:1.0", "cloud").code == 0
    made(PERSONAL, version="1.1")
    assert "cloud-rules refuses it" in run("push", "churn:1.1", "cloud").err
    (tmp_path / "policy.toml").write_text(own + everything + '[deny.cloud]\nto = ["eu-cloud"]\n')
    assert "own refuses it by deny.cloud" in run("push", "churn:1.0", "cloud").err
    (tmp_path / "policy.toml").write_text(own.replace("eu-onprem", "eu-other"))
    assert "is in the domain eu-other by its policy" in run("push", "churn:1.0", "cloud").err


def test_a_policy_is_signed_by_who_may(made: Made, ruled, run, tmp_path: Path) -> None:
    (tmp_path / "cloud.toml").write_text(POLICY.format(version=1))
    assert run("policy", "set", "cloud", "cloud.toml").code == 2
    by_ci = run("policy", "set", "cloud", "cloud.toml", "--key", "ci.key")
    assert (by_ci.code, "does not hold: it is signed with another key" in by_ci.err) == (9, True)
    assert not (tmp_path / "cloud").exists()
    ruled()
    made(INTERNAL)
    file = tmp_path / "cloud" / "policy"
    record = json.loads(file.read_bytes())
    for wrong in (
        {**record, "signature": ""},
        {**record, "policy": record["policy"].replace("internal", "personal")},
        {**record, "schemaVersion": 9},
    ):
        file.unlink()
        file.write_text(json.dumps(wrong))
        ended = run("push", "churn:1.0", "cloud")
        assert (ended.code, bytes_in(tmp_path / "cloud")) == (9, [])
        assert "the policy of the registry cloud" in ended.err


def test_a_place_is_where_both_say_it_is(made: Made, ruled, run, tmp_path: Path) -> None:
    ruled("registry:open")
    made(INTERNAL)
    assert run("push", "churn:1.0", "open").code == 0
    toml = (tmp_path / "mlship.toml").read_text()
    (tmp_path / "mlship.toml").write_text(toml.replace('"dir://./open"', '"dir://./open"\ndomain = "us"'))
    ended = run("push", "churn:1.0", "open")
    assert ended.code == 9
    assert "the registry open is in the domain eu-cloud by its policy, and in us by mlship.toml" in ended.err
    (tmp_path / "cloud.toml").write_text(POLICY.format(version=2))
    assert run("policy", "set", "us", "cloud.toml", "--key", "security.key").code == 9


def test_an_older_policy_is_refused_wherever_it_comes_from(made: Made, ruled, run, tmp_path: Path) -> None:
    ruled(version=1)
    old = (tmp_path / "cloud" / "policy").read_bytes()
    ruled(version=2)
    made(INTERNAL)
    assert run("push", "churn:1.0", "cloud").code == 0
    (tmp_path / "cloud.toml").write_text(POLICY.format(version=1))
    lower = run("policy", "set", "cloud", "cloud.toml", "--key", "security.key")
    assert (lower.code, "version = 3 or more" in lower.err) == (9, True)
    (tmp_path / "cloud.toml").write_text(POLICY.format(version=2) + "# another\n")
    assert run("policy", "set", "cloud", "cloud.toml", "--key", "security.key").code == 9
    file = tmp_path / "cloud" / "policy"
    for put_back in (lambda: file.write_bytes(old), lambda: None):
        file.unlink(missing_ok=True)
        put_back()
        ended = run("push", "churn:1.0", "cloud")
        assert (ended.code, "this machine has seen 2" in ended.err) == (9, True)


def test_mlship_toml_asks_for_a_version(made: Made, ruled, run, tmp_path: Path) -> None:
    """For machines that remember nothing."""
    toml = (tmp_path / "mlship.toml").read_text()
    (tmp_path / "mlship.toml").write_text(toml.replace('"eu-cloud"\n[reg', '"eu-cloud"\npolicy = 2\n[reg', 1))
    made(INTERNAL)
    assert "has no policy, and mlship.toml asks for 2" in run("push", "churn:1.0", "cloud").err
    ruled(version=1)
    assert "has version 1, and mlship.toml asks for 2" in run("push", "churn:1.0", "cloud").err
    ruled(version=2)
    assert run("push", "churn:1.0", "cloud").code == 0


def test_a_place_that_keeps_no_policy_cannot_have_a_version_of_it(made: Made, run, tmp_path: Path) -> None:
    with (tmp_path / "mlship.toml").open("a") as toml:
        toml.write('[registries.ml]\nurl = "mlflow://127.0.0.1:1"\ndomain = "eu-onprem"\npolicy = 2\n')
    made(INTERNAL)
    ended = run("policy", "explain", "churn:1.0", "ml")
    assert ended.code == 9
    assert "asks the registry ml for version 2 of its policy: it keeps none" in ended.err


def test_rows_have_labels_of_their_own(made: Made, run, tmp_path: Path) -> None:
    """The model may leave, and the rows that it was proved with may not."""
    made({"team": "risk"}, PERSONAL)
    ended = run("push", "churn:1.0", "cloud")
    assert ended.code == 9
    assert 'It needs rows made from the schema: [golden] from = "synthetic"' in ended.err
    shown = run("policy", "explain", "churn:1.0", "cloud", "--json").envelope["result"]
    assert (shown["labels"], shown["rowLabels"]) == (["team=risk"], ["sensitivity=personal"])
    inspected = run("inspect", "--json").envelope["result"]
    assert (inspected["labels"], inspected["rowLabels"]) == ({"team": "risk"}, PERSONAL)
    made({"team": "risk"})
    assert run("push", "churn:1.0", "cloud").code == 0


def test_a_promotion_asks_the_registry(made: Made, ruled, run, tmp_path: Path) -> None:
    made(INTERNAL)
    text = POLICY.replace("[allow", 'require_labels = ["owner"]\n[allow')
    assert run("push", "churn:1.0", "eu").code == 0
    ruled("eu", text=text.replace('domain = "eu-cloud"', 'domain = "eu-onprem"'))
    ended = run("promote", "eu/churn:1.0", "stable")
    assert (ended.code, "refuses it by require_labels" in ended.err) == (9, True)
    assert "stable" not in open_registry(f"dir://{tmp_path}/eu").tags("churn")
    assert facts(run, "eu")[1:] == [("promote", "refused")]


def test_explain_says_who_decides_and_what_it_needs(made: Made, ruled, run) -> None:
    ruled()
    made(INTERNAL)
    ended = run("policy", "explain", "churn:1.0", "cloud")
    assert ended.code == 0
    assert ended.out.splitlines()[0] == "churn:1.0 may go from this project to the registry cloud"
    assert "eu-onprem to eu-cloud" in ended.out
    assert "cloud-rules: allow.internal" in ended.out
    refused = run("policy", "explain", "churn:1.0", "us", "--json").envelope
    assert (refused["command"], refused["exitCode"], refused["result"]["allowed"]) == (
        "policy explain",
        0,
        False,
    )
    assert refused["result"]["needed"].startswith("an allow rule with labels")
    assert run("policy", "explain", "churn:1.0", "file", "--json").envelope["result"]["toDomain"] == "file"
    assert run("policy", "explain", "churn:1.0", "here", "--json").envelope["result"]["allowed"] is True
    assert run("policy", "explain", "churn:1.0", "prod", "--json").envelope["result"]["allowed"] is False
    assert run("policy", "explain", "churn:1.0", "nowhere").code == 2
    assert facts(run) == []


def test_a_plan_shows_what_lets_it_in(made: Made, ruled, run) -> None:
    ruled("prod")
    made(INTERNAL)
    shown = run("policy", "show", "prod", "--json").envelope["result"]
    assert (shown["place"], shown["version"], shown["domain"]) == ("the target prod", 1, "eu-cloud")
    planned = run("plan", "prod", "churn:1.0")
    assert planned.code not in (9, 4)  # what stops it is that this bundle runs nowhere
    assert facts(run, "prod") == [("policy set", "policy")]


def test_show_and_check(made: Made, ruled, run, tmp_path: Path) -> None:
    assert run("policy", "show").code == 2
    assert run("policy", "show", "cloud").code == 2
    ruled()
    shown = run("policy", "show", "cloud")
    assert shown.out.splitlines()[0] == "cloud-rules, version 1: the policy of the registry cloud"
    assert 'why = "contract 12"' in shown.out
    assert run("policy", "check", "cloud.toml").code == 0
    (tmp_path / "cloud.toml").write_text(POLICY.format(version=0))
    wrong = run("policy", "check", "cloud.toml")
    assert (wrong.code, wrong.err[:27]) == (2, "error: cloud.toml:3: versio")
    again = run("policy", "set", "cloud", "cloud.toml", "--key", "security.key")
    assert again.code == 2


def test_the_same_policy_can_be_signed_again(made: Made, ruled, run) -> None:
    ruled()
    again = run("policy", "set", "cloud", "cloud.toml", "--key", "security.key", "--json")
    assert again.envelope["result"]["changed"] is False


def test_a_log_that_was_changed_is_found(made: Made, ruled, run, tmp_path: Path) -> None:
    ruled()
    made(INTERNAL)
    run("push", "churn:1.0", "cloud")
    last = run("policy", "audit", "cloud", "--verify", "--json").envelope["result"]["last"]
    assert run("policy", "audit", "cloud", "--holds", last).code == 0
    assert run("policy", "audit", "cloud", "--holds", "sha256:" + "0" * 64).code == 9
    assert run("policy", "audit", "cloud", "--holds", "it").code == 2
    (tmp_path / "cloud" / "audit" / "records" / "000000000002").unlink()
    ended = run("policy", "audit", "cloud", "--verify")
    assert (ended.code, "is broken at number 2" in ended.err) == (9, True)
    assert run("policy", "audit", "cloud").code == 0
