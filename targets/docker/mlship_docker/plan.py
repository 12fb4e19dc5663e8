"""The plan for a service in containers: pure, from what is wanted and what is observed to ordered actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlship.result import to_json
from mlship.target.deployment import Deployment, LayerRef, ReleaseState, Wanted
from mlship.target.plan import Action, Phase
from mlship.target.release_choice import beyond_kept, left_over, reusable
from mlship_docker.images import missing
from mlship_docker.names import Names

_ACTIVE = ("starting", "ready", "serving", "draining")


@dataclass(frozen=True)
class Opening:
    """Where the front publishes, and the network that it is in; port 0 is a free one."""

    host: str
    port: int
    network: str

    @property
    def arguments(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "network": self.network}


def plan_docker(
    wanted: Wanted | None, observed: Deployment, names: Names, opening: Opening
) -> tuple[Action, ...]:
    """Actions that lead from `observed` to `wanted` (None: nothing of the service)."""
    if wanted is None:
        return (_destroy(names, observed),) if observed.exists else ()
    if observed.facts.get("port"):  # it stays where it is
        opening = Opening(observed.facts["host"], observed.facts["port"], opening.network)
    live = observed.live
    if live is not None and live.is_of(wanted):
        return _keep(wanted, observed, live, names, opening)
    return _replace(wanted, observed, names, opening)


def _keep(
    wanted: Wanted, observed: Deployment, live: ReleaseState, names: Names, opening: Opening
) -> tuple[Action, ...]:
    """The wanted release is live: only mend what is not as it should be."""
    actions = _clean(wanted, observed, None)
    whole = observed.facts["containers"].get(str(live.number)) == wanted.settings["workers"]
    serves = live.state == "serving" and whole
    if not observed.facts["front"]:
        actions.append(_open(names, opening, wanted))
    if not whole:
        actions += _bring(wanted, observed, names)
        actions.append(_stage(wanted, live.number, names))
    if not serves or not observed.facts["front"]:
        actions += [_start(wanted, live.number), _shift(wanted, live.number)]
    others = [number for number in observed.facts["running"] if number != live.number]
    policy = observed.facts["restart"].get(str(live.number)) == wanted.settings["restart"]
    if len(actions) > 1 or not serves or others or not policy:
        actions.append(_settle(wanted, live.number))
    return (*actions, *_retire(wanted, observed, live.number, None))


def _replace(wanted: Wanted, observed: Deployment, names: Names, opening: Opening) -> tuple[Action, ...]:
    """Candidate beside the live one, proved, then shifted to."""
    spare = reusable(wanted, observed)
    number = spare.number if spare else observed.last_number + 1
    hold = [] if observed.facts.get("front") else [_open(names, opening, wanted)]
    return (
        *_clean(wanted, observed, spare),
        *_bring(wanted, observed, names),
        *hold,
        _stage(wanted, number, names),
        _start(wanted, number),
        _prove(wanted, number),
        _shift(wanted, number),
        _settle(wanted, number),
        *_retire(wanted, observed, number, observed.live),
    )


def _bring(wanted: Wanted, observed: Deployment, names: Names) -> list[Action]:
    """The image, if it is not there; the layers that an engine has are not sent again."""
    image = wanted.settings["image"]
    if {image, wanted.settings["manifest"]} & observed.present:
        return []
    partial = observed.facts.get("partial") and not wanted.settings["repository"]
    layers: list[LayerRef] = list(wanted.layers)
    if partial:
        layers = missing(layers, observed.facts["chains"])
    size = sum(layer.size for layer in layers)
    way = f"docker pull {wanted.settings['repository']}" if wanted.settings["repository"] else "docker load"
    return [
        Action(
            name="send",
            phase="stage",
            verb="send",
            subject=f"the image of {wanted.reference}",
            command=f"{way} ({len(layers)} layers, at most {size} bytes), docker tag {names.image(image)}",
            arguments={"image": image, "repository": wanted.settings["repository"]},
            bytes=size,
        )
    ]


def _open(names: Names, opening: Opening, wanted: Wanted) -> Action:
    image = {key: wanted.settings[key] for key in ("image", "manifest")}
    arguments = {**opening.arguments, **image}
    where = f"{opening.host}:{opening.port or 'a free port'}"
    command = f"docker run --name {names.front} --publish {where}:8080 {wanted.settings['image'][:19]} front"
    return _action("open", "start", f"the front on {where}", command, arguments)


def _stage(wanted: Wanted, number: int, names: Names) -> Action:
    arguments = {
        "release": number,
        "digest": wanted.digest,
        "reference": wanted.reference,
        "platform": wanted.platform,
        "settings": wanted.settings,
        "settingsDigest": wanted.settings_digest,
    }
    command = f"docker create --name {names.container(number, 0)} {to_json(arguments).decode()}"
    return _action("stage", "stage", f"release {number} of {wanted.reference}", command, arguments)


def _start(wanted: Wanted, number: int) -> Action:
    arguments = {"release": number, "workers": wanted.settings["workers"]}
    command = f"docker start, until {arguments['workers']} are ready"
    return _action("start", "start", f"release {number} of {wanted.reference}", command, arguments)


def _prove(wanted: Wanted, number: int) -> Action:
    command = f"POST /v2/models/{wanted.service}/infer on the candidate's own socket"
    return _action(
        "prove", "prove", f"release {number} with the golden examples", command, {"release": number}
    )


def _shift(wanted: Wanted, number: int) -> Action:
    arguments = {"release": number, "digest": wanted.digest, "workers": wanted.settings["workers"]}
    command = f"docker exec FRONT order shift {to_json(arguments).decode()}"
    return _action("shift", "shift", f"traffic to release {number} of {wanted.reference}", command, arguments)


def _settle(wanted: Wanted, number: int) -> Action:
    restart = wanted.settings["restart"]
    command = f"docker update --restart {restart}, watch it, docker stop the others"
    subject = f"until only release {number} answers, and stays"
    return _action("settle", "settle", subject, command, {"release": number, "restart": restart})


def _clean(wanted: Wanted, observed: Deployment, spare: ReleaseState | None) -> list[Action]:
    left = left_over(observed, spare)
    return [_remove("clean", "clean", left, "left by an interrupted rollout", wanted)] if left else []


def _retire(wanted: Wanted, observed: Deployment, coming: int, leaving: ReleaseState | None) -> list[Action]:
    old = beyond_kept(wanted.keep, observed, coming, leaving)
    return [_remove("retire", "retire", old, f"beyond the {wanted.keep} kept", wanted)] if old else []


def _remove(name: str, phase: Phase, numbers: list[int], why: str, wanted: Wanted) -> Action:
    """The wanted image stays, for one that is there is not sent again."""
    subject = f"release {', '.join(map(str, numbers))} ({why})"
    arguments = {"releases": numbers, "keep": [wanted.settings["image"], wanted.settings["manifest"]]}
    return _action("remove", phase, subject, "docker rm, docker rmi of what is unused", arguments, name)


def _destroy(names: Names, observed: Deployment) -> Action:
    subject = f"service {observed.service} and its {len(observed.releases)} releases"
    command = f"docker rm, docker volume rm {names.volume}, docker rmi {{}}"
    arguments: Mapping[str, Any] = {"purge": False}
    return _action("destroy", "remove", subject, command.format(to_json(arguments).decode()), arguments)


def _action(
    verb: str, phase: Phase, subject: str, command: str, arguments: Mapping[str, Any], name: str = ""
) -> Action:
    return Action(
        name=name or verb,
        phase=phase,
        verb=verb,
        subject=subject,
        command=command,
        arguments=dict(arguments),
    )
