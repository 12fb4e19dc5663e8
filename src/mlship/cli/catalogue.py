"""The verbs, in the order of the top-level help. One verb's module is imported when that verb is used."""

from __future__ import annotations

from keyword import iskeyword
from typing import NamedTuple


class Section(NamedTuple):
    """Verbs that belong together; each is a function of `module`, named like the verb."""

    title: str
    module: str
    verbs: dict[str, str]


SECTIONS = (
    Section(
        "Bundle",
        "mlship.cli.bundle",
        {
            "init": "Start a project: a working example, or your own model.",
            "lock": "Resolve the runtime's packages and write mlship.lock.",
            "build": "Make a bundle, proved equal to the original model.",
            "inspect": "Show what is in a bundle.",
            "diff": "Show what is different between two bundles.",
            "verify": "Check every byte of a bundle against its digests.",
            "sign": "Sign a bundle with a private key.",
            "key": "Make a key pair, or show whose a key file is.",
            "export": "Write a bundle to a file, or its parts for other tools.",
            "import": "Take a bundle from a file, or a project from another tool.",
            "image": "Make, copy and check container images of bundles.",
        },
    ),
    Section(
        "Registry",
        "mlship.cli.registry",
        {
            "list": "List bundles and tags.",
            "push": "Copy a bundle to a registry.",
            "pull": "Copy a bundle from a registry.",
            "copy": "Copy a bundle, or a whole registry, to another.",
            "promote": "Move a tag to a bundle that passes what is required.",
            "tag": "Give a bundle another tag.",
            "untag": "Take a tag away.",
            "policy": "What may cross between domains, and what did.",
            "gc": "Remove what no tag reaches.",
            "fsck": "Read a registry to its last byte; mend it.",
            "login": "Keep credentials for an OCI registry.",
            "logout": "Forget credentials for an OCI registry.",
        },
    ),
    Section(
        "Target",
        "mlship.cli.target",
        {
            "plan": "Show what deploy would do; changes nothing.",
            "deploy": "Make a target run a bundle, proved there before it switches.",
            "status": "Show what a target runs now.",
            "history": "Show every release of a service, or what ran on a date.",
            "invoke": "Send rows to a target and print its answer.",
            "tunnel": "Open a local port that leads to a service on its host.",
            "logs": "Show what a release wrote.",
            "rollback": "Go back to an earlier release.",
            "repair": "Finish or undo what an interrupted deploy left.",
            "force-unlock": "Break the lock of a deployer that is gone.",
            "destroy": "Remove a service from a target.",
            "target": "Trust the machines of a target.",
            "token": "Make, list and revoke the bearer tokens of a service.",
        },
    ),
    Section(
        "Run here",
        "mlship.cli.here",
        {
            "serve": "Serve a bundle in the foreground, on this machine.",
            "score": "Score a file of rows with a bundle, on this machine.",
            "records": "Describe, check and convert files of COBOL records.",
            "doctor": "Check this machine, or a target and what runs there.",
        },
    ),
)


def function_of(verb: str) -> str:
    """The name of the function that is called `verb` on the command line."""
    name = verb.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


MODULES = {verb: section.module for section in SECTIONS for verb in section.verbs} | {
    "invoke": "mlship.cli.invoke",
    "score": "mlship.cli.score",
    "records": "mlship.cli.records",
    "sign": "mlship.cli.trust",
    "key": "mlship.cli.trust",
    "token": "mlship.cli.token",
    "target": "mlship.cli.machines",
    "export": "mlship.cli.exchange",
    "import": "mlship.cli.exchange",
    "image": "mlship.cli.image",
    "policy": "mlship.cli.policy",
    "login": "mlship.cli.login",
    "logout": "mlship.cli.login",
}
