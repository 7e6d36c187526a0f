"""What is played: who leads each round, who hears whom in it, who crashes in it; and its JSON.

The JSON is that of the public twins-simulator (`round_leaders`, `round_partitions`, `firewall`) with three
fields of ours: `phase_partitions`, `restarts`, `jitter`. Instances 0..n-1 are the identities; instance n + i
is the twin of identity i. A round that a file does not name is fully connected and led by a correct identity.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Partition: TypeAlias = tuple[tuple[int, ...], ...]
"""Blocks of instances, each ascending, ordered by their first: every instance is in exactly one."""
Firewall: TypeAlias = tuple[tuple[int, tuple[int, ...]], ...]
"""(sender, receivers that hear nothing of it), ascending."""

PHASES = ("proposal", "vote", "timeout")
"""Everything that is neither proposal nor vote travels with the timeouts."""
NODES_MAX, ROUNDS_MAX, SCENARIOS_MAX = 16, 64, 10_000
PERSISTS_MAX = 16
"""Writes of one instance in one round: it makes three at most, and as many again when it was restarted."""
JITTER_MAX = 2**32 - 1


class ScenarioError(ValueError):
    """A scenario file is wrong; the text names the place in it."""


class Image(StrEnum):
    """What is on the disk of an instance that crashes at a write, and what the others have heard."""

    LOST = "lost"
    """The write did not reach the disk, and nothing after it was sent."""
    WRITTEN = "written"
    """It reached the disk, nothing after it was sent."""
    SENT = "sent"
    """It reached the disk and what waited for it was sent."""
    WIPED = "wiped"
    """As `sent`, and then all data but the guard beside the key was lost (C14)."""


@dataclass(frozen=True, slots=True, order=True)
class Restart:
    """`instance` crashes at its `persist`-th write (from 1) of the round, and starts again from `image`."""

    instance: int
    persist: int
    image: Image


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """One round: the identity that leads (all instances of it do) and what its messages meet.

    `partitions` are those of proposals, votes and timeouts, applied by the round the sender is in.
    """

    leader: int
    partitions: tuple[Partition, Partition, Partition]
    firewall: Firewall = ()
    restarts: tuple[Restart, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Rounds 1..len(rounds); after them the network is whole, the twins are silent, correct nodes lead.

    `jitter` is 0 for equal delays, else the seed of unequal ones.
    """

    nodes: int
    twins: int
    rounds: tuple[RoundPlan, ...]
    jitter: int = 0

    @property
    def instances(self) -> int:
        """How many replicas run."""
        return self.nodes + self.twins


def identity_of(instance: int, nodes: int) -> int:
    """Whose key an instance holds."""
    return instance if instance < nodes else instance - nodes


def instances_of(identity: int, nodes: int, twins: int) -> tuple[int, ...]:
    """The instances that hold one key."""
    return (identity, nodes + identity) if identity < twins else (identity,)


def normal(blocks: Iterable[Iterable[int]]) -> Partition:
    """The one way to write a partition."""
    return tuple(sorted(tuple(sorted(block)) for block in blocks))


def whole(nodes: int, twins: int) -> Partition:
    """Everybody hears everybody."""
    return (tuple(range(nodes + twins)),)


def default_plan(round: int, nodes: int, twins: int) -> RoundPlan:
    """A round nobody disturbs, led by a correct identity."""
    partition = whole(nodes, twins)
    return RoundPlan(twins + (round - 1) % (nodes - twins), (partition, partition, partition))


# --- JSON out ---------------------------------------------------------------------------------------


def encode_scenarios(scenarios: Iterable[Scenario]) -> str:
    """The JSON of scenarios of one size. Raises ScenarioError when there is none, or sizes differ."""
    listed = list(scenarios)
    if not listed or any((s.nodes, s.twins) != (listed[0].nodes, listed[0].twins) for s in listed):
        raise ScenarioError("a file holds one or more scenarios of the same number of nodes and twins")
    first = listed[0]
    document = {
        "num_of_nodes": first.nodes,
        "num_of_twins": first.twins,
        "scenarios": [_scenario_to_json(scenario) for scenario in listed],
    }
    return json.dumps(document, indent=1) + "\n"


def _scenario_to_json(scenario: Scenario) -> dict[str, object]:
    found: dict[str, dict[str, object]] = {
        key: {} for key in ("round_leaders", "round_partitions", "phase_partitions", "firewall", "restarts")
    }
    for number, plan in enumerate(scenario.rounds, 1):
        key = str(number)
        found["round_leaders"][key] = list(instances_of(plan.leader, scenario.nodes, scenario.twins))
        if len(set(plan.partitions)) == 1:
            found["round_partitions"][key] = [list(block) for block in plan.partitions[0]]
        else:
            found["phase_partitions"][key] = {
                phase: [list(block) for block in partition]
                for phase, partition in zip(PHASES, plan.partitions, strict=True)
            }
        if plan.firewall:
            found["firewall"][key] = {str(sender): list(deaf) for sender, deaf in plan.firewall}
        if plan.restarts:
            found["restarts"][key] = [
                {"instance": r.instance, "persist": r.persist, "image": r.image.value} for r in plan.restarts
            ]
    encoded: dict[str, object] = {key: value for key, value in found.items() if value}
    if scenario.jitter:
        encoded["jitter"] = scenario.jitter
    return encoded


# --- JSON in ----------------------------------------------------------------------------------------


def decode_scenarios(text: str) -> tuple[Scenario, ...]:
    """The scenarios of a file; raises ScenarioError naming the first wrong place."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"not JSON: {error}") from error
    fields = _object(document, "file", ("num_of_nodes", "num_of_twins", "scenarios"))
    nodes = _integer(fields.get("num_of_nodes"), "num_of_nodes", 1, NODES_MAX)
    twins = _integer(fields.get("num_of_twins"), "num_of_twins", 0, nodes - 1)
    listed = _list(fields.get("scenarios"), "scenarios", SCENARIOS_MAX)
    if not listed:
        raise ScenarioError("scenarios: is empty")
    return tuple(_scenario(value, f"scenarios[{i}]", nodes, twins) for i, value in enumerate(listed))


_FIELDS = ("round_leaders", "round_partitions", "phase_partitions", "firewall", "restarts", "jitter")


def _scenario(value: object, place: str, nodes: int, twins: int) -> Scenario:
    fields = _object(value, place, _FIELDS)
    leaders, partitions, phases, firewalls, restarts = (
        _by_round(fields.get(name, {}), f"{place}.{name}") for name in _FIELDS[:5]
    )
    if not leaders:
        raise ScenarioError(f"{place}.round_leaders: names no round")
    last = max(leaders)
    for name, named in zip(_FIELDS[1:5], (partitions, phases, firewalls, restarts), strict=True):
        for round in named:
            if round > last:
                raise ScenarioError(f"{place}.{name}.{round}: the last round with a leader is {last}")
    size = nodes + twins
    plans = []
    for round in range(1, last + 1):
        plan = default_plan(round, nodes, twins)
        leader, parts = plan.leader, plan.partitions
        if round in leaders:
            leader = _leader(leaders[round], f"{place}.round_leaders.{round}", nodes, twins)
        if round in partitions:
            if round in phases:
                raise ScenarioError(f"{place}.phase_partitions.{round}: is in round_partitions too")
            one = _partition(partitions[round], f"{place}.round_partitions.{round}", size)
            parts = (one, one, one)
        if round in phases:
            parts = _phases(phases[round], f"{place}.phase_partitions.{round}", size)
        walls = _firewall(firewalls.get(round, {}), f"{place}.firewall.{round}", size)
        crashes = _restarts(restarts.get(round, []), f"{place}.restarts.{round}", size)
        plans.append(RoundPlan(leader, parts, walls, crashes))
    jitter = _integer(fields.get("jitter", 0), f"{place}.jitter", 0, JITTER_MAX)
    return Scenario(nodes, twins, tuple(plans), jitter)


def _leader(value: object, place: str, nodes: int, twins: int) -> int:
    leaders = tuple(sorted(_instances(value, place, nodes + twins)))
    if not leaders or leaders != instances_of(identity_of(leaders[0], nodes), nodes, twins):
        raise ScenarioError(f"{place}: {list(leaders)} are not all instances of one identity")
    return leaders[0]


def _partition(value: object, place: str, size: int) -> Partition:
    blocks = [_instances(block, f"{place}[{i}]", size) for i, block in enumerate(_list(value, place, size))]
    if any(not block for block in blocks):
        raise ScenarioError(f"{place}: a block is empty")
    if sorted(instance for block in blocks for instance in block) != list(range(size)):
        raise ScenarioError(f"{place}: every instance from 0 to {size - 1} must be in exactly one block")
    return normal(blocks)


def _phases(value: object, place: str, size: int) -> tuple[Partition, Partition, Partition]:
    fields = _object(value, place, PHASES)
    for phase in PHASES:
        if phase not in fields:
            raise ScenarioError(f"{place}: {phase} is missing")
    proposal, vote, timeout = (_partition(fields[phase], f"{place}.{phase}", size) for phase in PHASES)
    return proposal, vote, timeout


def _firewall(value: object, place: str, size: int) -> Firewall:
    senders = _object(value, place, tuple(str(instance) for instance in range(size)))
    walls = [
        (int(sender), tuple(sorted(_instances(deaf, f"{place}.{sender}", size))))
        for sender, deaf in senders.items()
    ]
    return tuple(sorted(walls))


def _restarts(value: object, place: str, size: int) -> tuple[Restart, ...]:
    found = []
    for i, item in enumerate(_list(value, place, size * PERSISTS_MAX)):
        fields = _object(item, f"{place}[{i}]", ("instance", "persist", "image"))
        image = fields.get("image")
        if image not in [known.value for known in Image]:
            raise ScenarioError(f"{place}[{i}].image: {image!r} is none of {', '.join(Image)}")
        found.append(
            Restart(
                _integer(fields.get("instance"), f"{place}[{i}].instance", 0, size - 1),
                _integer(fields.get("persist"), f"{place}[{i}].persist", 1, PERSISTS_MAX),
                Image(str(image)),
            )
        )
    if len({(restart.instance, restart.persist) for restart in found}) != len(found):
        raise ScenarioError(f"{place}: one instance crashes twice at one write")
    return tuple(sorted(found))


def _by_round(value: object, place: str) -> dict[int, object]:
    if not isinstance(value, Mapping):
        raise ScenarioError(f"{place}: must be an object")
    found: dict[int, object] = {}
    for key, item in value.items():
        if not (key.isascii() and key.isdigit() and 1 <= int(key) <= ROUNDS_MAX and str(int(key)) == key):
            raise ScenarioError(f"{place}: {key!r} is not a round from 1 to {ROUNDS_MAX}")
        found[int(key)] = item
    return found


def _object(value: object, place: str, allowed: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ScenarioError(f"{place}: must be an object")
    for key in value:
        if key not in allowed:
            raise ScenarioError(f"{place}: {key!r} is none of {', '.join(allowed)}")
    return value


def _list(value: object, place: str, most: int) -> list[object]:
    if not isinstance(value, list) or len(value) > most:
        raise ScenarioError(f"{place}: must be a list of at most {most}")
    return value


def _instances(value: object, place: str, size: int) -> list[int]:
    found = [_integer(item, place, 0, size - 1) for item in _list(value, place, size)]
    if len(set(found)) != len(found):
        raise ScenarioError(f"{place}: names an instance twice")
    return found


def _integer(value: object, place: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ScenarioError(f"{place}: must be an integer from {low} to {high}, not {value!r}")
    return value
