"""policy.toml is read strictly: what is not understood is never passed over."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from mlship.errors import ConfigError
from mlship.trust.policy import MAX_BYTES, read_policy

GOOD = """schema = 1
name = "eu"
version = 3
domain = "eu-onprem"
require_labels = ["sensitivity"]

[sensitive]
data = ["health"]

[allow.mirror]
labels = { sensitivity = ["internal"] }
from = ["eu-onprem"]
to = ["eu-cloud", "file"]
why = "contract 12"

[deny.us]
to = ["us"]
"""


def test_a_good_one() -> None:
    policy = read_policy(GOOD)
    assert (policy.name, policy.version, policy.domain) == ("eu", 3, "eu-onprem")
    assert policy.head.sensitive == {"data": ("health",)}
    assert policy.allow["mirror"].source == ("eu-onprem",)
    assert (policy.deny["us"].source, policy.deny["us"].labels) == (("*",), {})


def test_the_example_is_one() -> None:
    text = (files("mlship.trust") / "example_policy.toml").read_text(encoding="utf-8")
    policy = read_policy(text)
    assert policy.allow
    assert policy.deny


WRONG = {
    "not TOML": ("domain = ", "domain = = ", "policy.toml is not TOML"),
    "no schema": ("schema = 1\n", "", "policy.toml has no schema. Write schema = … at its top"),
    "no name": ('name = "eu"\n', "", "policy.toml has no name"),
    "no version": ("version = 3\n", "", "policy.toml has no version"),
    "no domain": ('domain = "eu-onprem"\n', "", "policy.toml has no domain"),
    "a newer one": ("schema = 1", "schema = 2", "policy.toml:1: the policy was made for a newer mlship"),
    "schema 0": ("schema = 1", "schema = 0", "policy.toml:1: schema"),
    "schema as truth": ("schema = 1", "schema = true", "policy.toml:1: schema"),
    "version 0": ("version = 3", "version = 0", "policy.toml:3: version"),
    "version as text": ("version = 3", 'version = "3"', "policy.toml:3: version"),
    "unknown key": ("version = 3", "version = 3\ndomian = 1", "policy.toml:4: unknown key or section domian"),
    "unknown section": ("[deny.us]", "[denied.us]", "policy.toml:16: unknown key or section denied"),
    "unknown key of a rule": ('to = ["us"]', 'too = ["us"]', "policy.toml:17: unknown key too in [deny.us]"),
    "a rule that is no table": ("[deny.us]\nto = [\"us\"]", "[deny]\nus = 1", ":17: deny.us is not"),
    "allow without labels": (
        "labels = { sensitivity = [\"internal\"] }\n", "", "policy.toml:10: [allow.mirror] has no labels",
    ),
    "allow with no labels": ('{ sensitivity = ["internal"] }', "{}", "allow.mirror.labels is empty"),
    "allow without from": ('from = ["eu-onprem"]\n', "", "[allow.mirror] has no from"),
    "allow without to": ('to = ["eu-cloud", "file"]\n', "", "[allow.mirror] has no to"),
    "an empty to": ('["eu-cloud", "file"]', "[]", "policy.toml:13: allow.mirror.to is empty"),
    "no values": ('data = ["health"]', "data = []", "policy.toml:8: sensitive.data is empty"),
    "a domain that is none": ('"us"', '"U S"', "policy.toml:17: 'U S' is not a name"),
    "a file as domain": ('domain = "eu-onprem"', 'domain = "file"', "policy.toml:4: file is no domain"),
    "any as domain": ('domain = "eu-onprem"', 'domain = "*"', "policy.toml:4: '*' is not a name"),
    "a rule's name": ("[deny.us]", '[deny."U S"]', "policy.toml:16: 'U S' is not a name"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_one_is_refused_with_its_line(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_policy(GOOD.replace(old, new, 1))


def test_a_huge_one_is_not_even_parsed() -> None:
    with pytest.raises(ConfigError, match="too large"):
        read_policy(GOOD + "#" * MAX_BYTES)
