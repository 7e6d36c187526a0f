"""What people may ask for on the command line, what contradicts itself, and which scenario it comes to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench.cluster.knee import RATE_MAX
from bench.cluster.scenarios import (
    BY_NAME,
    CHUNK_TRANSACTIONS,
    DEFAULT_OF,
    SCENARIOS,
    Fault,
    Mode,
    Scenario,
    at_rate,
    rate_name,
    with_values,
)
from bench.cluster.shapes import ClosedLoop, NoLoad, Shape
from bench.cluster.signing import PAYLOAD_BYTES_MAX
from bench.finiterange import FiniteRange
from bench.recordoption import record_option
from node.api.opaque import PIECES_MAX
from node.ledger.params import RANGES, Params
from node.local.testnet import NODES_MAX
from node.pool.signedchunks import SIGNED_BYTES_MIN

P99_MS = 500.0
"""Of a carried rate at most, where nobody says otherwise."""
_CLIENTS_MAX = 2_000
_RATES_MAX = 32
_OUTSTANDING_MAX = 50_000
_PER_REQUEST_MAX = 8_192
_SECONDS_MAX, _WARMUP_MAX = 400.0, 60.0
"""Transactions are signed before a trial, and none may expire more than ten minutes ahead."""
_NODES_MIN_FOR_A_FAULT = 4
_BULK = 50
"""Transactions a request of a closed loop."""
_OF_OUR_OWN = ("nodes", "batch_bytes", "no_fsync", "verification_certificates", "clients", "fault")
"""What is chosen when a cluster is made, not when one is attached to."""


def _rates(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, ...]:
    words = [] if text is None else text.split(",")
    if not all(word.strip().isdecimal() and 1 <= int(word) <= RATE_MAX for word in words):
        raise click.BadParameter(f"{text!r} must be whole numbers from 1 to {RATE_MAX}, separated by commas")
    if len(words) > _RATES_MAX:
        raise click.BadParameter(f"at most {_RATES_MAX} rates, not {len(words)}")
    return tuple(int(word) for word in words)


def _urls(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    urls = () if text is None else tuple(url.strip().rstrip("/") for url in text.split(","))
    for url in urls:
        place = url.removeprefix("http://")
        if place == url or not place.rpartition(":")[0] or not place.rpartition(":")[2].isdecimal():
            raise click.BadParameter(f"{url!r} must be http://HOST:PORT, with commas between several")
    return urls


def described(scenarios: Iterable[Scenario]) -> str:
    """Scenarios, for the help."""
    return "\b\nScenarios:\n" + "\n".join(f"  {each.name:20} {each.words}" for each in scenarios)


nodes_option = click.option("--nodes", type=click.IntRange(1, NODES_MAX), help="Daemons on this machine.")
seconds_option = click.option("--seconds", type=FiniteRange(1, _SECONDS_MAX), help="Measured, of each trial.")
warmup_option = click.option(
    "--warmup", type=FiniteRange(0, _WARMUP_MAX), help="Seconds of load before that."
)


OPTIONS: Sequence[Callable[[Callable[..., None]], Callable[..., None]]] = (
    click.option(
        "--scenario",
        type=click.Choice(tuple(BY_NAME)),
        help=f"By default {DEFAULT_OF[Mode.HONEST]}; in other modes {DEFAULT_OF[Mode.SIGNED]} and "
        f"{DEFAULT_OF[Mode.OPAQUE]}.",
    ),
    click.option(
        "--mode",
        type=click.Choice(tuple(mode.value for mode in Mode)),
        help="What a transaction is: a record that is signed, verified and executed; or, on a benchmark "
        "cluster, bytes that are signed and verified and not executed, or opaque ones that are none of it.",
    ),
    nodes_option,
    click.option("--rate", type=click.IntRange(1, RATE_MAX), help="Transactions a second at fixed times."),
    click.option("--rates", callback=_rates, metavar="R,R,...", help="Several rates, one after the other."),
    click.option("--knee", is_flag=True, help="Find the highest rate that is carried."),
    click.option(
        "--p99-ms",
        type=FiniteRange(1, 60_000),
        help=f"With --knee: the bound on the 99th percentile.  [default: {P99_MS:g}]",
    ),
    click.option(
        "--outstanding",
        type=click.IntRange(1, _OUTSTANDING_MAX),
        help="No rate: so many transactions under way at once.",
    ),
    click.option(
        "--per-request", type=click.IntRange(1, _PER_REQUEST_MAX), help="Transactions in one HTTP request."
    ),
    seconds_option,
    warmup_option,
    click.option("--clients", type=click.IntRange(1, _CLIENTS_MAX), help="Different keys that sign."),
    click.option(
        "--payload-bytes", type=click.IntRange(0, PAYLOAD_BYTES_MAX), help="Added to each transaction."
    ),
    click.option(
        "--batch-bytes",
        type=click.IntRange(Params(1).max_transaction_bytes, RANGES["batch_bytes_max"][1]),
        help="The genesis parameter batch_bytes_max.",
    ),
    click.option(
        "--no-fsync",
        is_flag=True,
        help="Do not wait for the disk, but for the guard beside a key; every table says so.",
    ),
    click.option(
        "--verification-certificates",
        is_flag=True,
        help="Nodes believe signatures that a blocking set checked; every table says so.",
    ),
    click.option("--fault", type=click.Choice(tuple(fault.value for fault in Fault)), help="In mid-run."),
    click.option("--attach", callback=_urls, metavar="URL,URL,...", help="Nodes of a running cluster."),
    click.option(
        "--key",
        "keys",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="With --attach: the key file of a member who may publish (in signed mode anybody's); may be "
        "given several times.",
    ),
    click.option("--json", "as_json", is_flag=True, help="One object instead of tables."),
    record_option,
    click.option(
        "--keep",
        type=click.Path(file_okay=False, path_type=Path),
        help="Keep the nodes' homes with their logs, and the samples, in this new folder.",
    ),
)


def refuse_contradictions(options: dict[str, Any]) -> None:
    """Raises UsageError with the first one."""
    given = [name for name in ("rate", "rates", "outstanding", "knee") if options[name]]
    if len(given) > 1 and set(given) != {"rate", "knee"}:
        named = " and ".join(f"--{name}" for name in given)
        raise click.UsageError(f"{named} contradict each other; give one (--rate may begin a --knee).")
    if options["p99_ms"] is not None and not options["knee"]:
        raise click.UsageError("--p99-ms is the bound of a search; give it with --knee.")
    if options["attach"]:
        ours = [name for name in _OF_OUR_OWN if options[name]]
        scenario = _named(options)
        if ours:
            named = ", ".join(f"--{name.replace('_', '-')}" for name in ours)
            raise click.UsageError(f"{named} cannot be chosen for a cluster that runs already (--attach).")
        if scenario.fault is not Fault.NONE or scenario.idle_interval_ms is not None:
            raise click.UsageError(
                f"Scenario {scenario.name} needs a cluster of its own; leave --attach out."
            )
        if scenario.mode is Mode.OPAQUE:
            if options["keys"]:
                raise click.UsageError("Nobody signs opaque transactions; leave --key out.")
        elif not options["keys"]:
            whose = "of a member who may publish" if scenario.mode.is_executed else "that signs, anybody's"
            raise click.UsageError(f"--attach needs --key FILE, the key {whose}.")
    elif options["keys"]:
        raise click.UsageError("--key is for --attach; a cluster made here gets keys of its own.")


def _named(options: dict[str, Any]) -> Scenario:
    """The scenario that is asked for, or the usual one of a mode. Raises UsageError."""
    name = options["scenario"]
    mode = None if options["mode"] is None else Mode(options["mode"])
    if name is None:
        return BY_NAME[DEFAULT_OF[mode or Mode.HONEST]]
    scenario = BY_NAME[name]
    if mode not in (None, scenario.mode):
        of_mode = ", ".join(each.name for each in SCENARIOS if each.mode is mode)
        raise click.UsageError(
            f"Scenario {name} is of {scenario.mode.value} mode; of {mode.value} mode there are {of_mode}."
        )
    return scenario


def scenario_of(options: dict[str, Any]) -> Scenario:
    """The named scenario with the options on top. Raises UsageError."""
    scenario = _shaped(_named(options), options)
    values = {
        "nodes": options["nodes"],
        "seconds": options["seconds"],
        "warmup_seconds": options["warmup"],
        "clients": options["clients"],
        "payload_bytes": options["payload_bytes"],
        "batch_bytes": options["batch_bytes"],
        "fsync": False if options["no_fsync"] else None,
        "verification_certificates": True if options["verification_certificates"] else None,
        "fault": None if options["fault"] is None else Fault(options["fault"]),
    }
    scenario = with_values(scenario, values)
    if options["attach"]:
        scenario = replace(scenario, changed=(*scenario.changed, "attached"))
    if scenario.mode is Mode.OPAQUE and options["clients"]:
        raise click.UsageError("Nobody signs opaque transactions; leave --clients out.")
    if scenario.mode is not Mode.HONEST and options["verification_certificates"]:
        why = "Nobody signs opaque transactions" if scenario.mode is Mode.OPAQUE else "Every node verifies"
        raise click.UsageError(f"{why}; leave --verification-certificates out.")
    _refuse_bodies(scenario, _transactions_a_request(scenario, options))
    is_hurt = scenario.fault is not Fault.NONE
    if is_hurt and scenario.nodes < _NODES_MIN_FOR_A_FAULT:
        raise click.UsageError(
            f"{scenario.nodes} nodes tolerate no fault; a fault needs at least {_NODES_MIN_FOR_A_FAULT}."
        )
    if is_hurt and (options["rates"] or options["knee"]):
        raise click.UsageError("A fault is for one trial; leave --rates and --knee out.")
    return scenario


def _is_row(options: dict[str, Any]) -> bool:
    """Whether several rates are asked for, each with a shape of its own."""
    return bool(options["rates"] or options["knee"])


def _transactions_a_request(scenario: Scenario, options: dict[str, Any]) -> int:
    """At most; 0 where nothing is sent."""
    if _is_row(options):
        return options["per_request"] or CHUNK_TRANSACTIONS
    return 0 if isinstance(scenario.shape, NoLoad) else scenario.shape.per_request


def _refuse_bodies(scenario: Scenario, count: int) -> None:
    """Raises UsageError for requests to a benchmark cluster, of so many transactions, that no node takes."""
    if scenario.mode is Mode.HONEST or not count:
        return
    if scenario.mode is Mode.SIGNED and scenario.payload_bytes < SIGNED_BYTES_MIN:
        raise click.UsageError(
            f"A signed transaction has at least {SIGNED_BYTES_MIN} bytes, a key and a signature among them; "
            "raise --payload-bytes."
        )
    if not scenario.payload_bytes:
        raise click.UsageError("An opaque transaction has at least 1 byte; raise --payload-bytes.")
    each = scenario.payload_bytes
    limit = PIECES_MAX * (scenario.batch_bytes or Params(1).batch_bytes_max)
    if count * each > limit:
        raise click.UsageError(
            f"A request of {count} transactions of {each} bytes has {count * each} bytes, a node takes "
            f"{limit}; lower --per-request or --payload-bytes."
        )


def _shaped(scenario: Scenario, options: dict[str, Any]) -> Scenario:
    per_request: int | None = options["per_request"]
    if options["rate"] and not options["knee"]:
        rate = options["rate"]
        offered = at_rate(rate, mode=scenario.mode)
        name = rate_name(rate, scenario.mode, scenario.promise)
        scenario = _offering(scenario, offered, name, f"rate={rate}")
    elif options["outstanding"]:
        most = options["outstanding"]
        bulk = _BULK if scenario.mode is Mode.HONEST else CHUNK_TRANSACTIONS
        closed = ClosedLoop(most, per_request or min(bulk, most))
        prefix = "" if scenario.mode is Mode.HONEST else f"{scenario.mode.value}-"
        scenario = _offering(scenario, closed, f"{prefix}outstanding-{most}", f"outstanding={most}")
    if per_request is None:
        return scenario
    changed = (*scenario.changed, f"per_request={per_request}")
    if _is_row(options):
        return replace(scenario, changed=changed)
    shape = scenario.shape
    if isinstance(shape, NoLoad):
        raise click.UsageError(f"Scenario {scenario.name} sends nothing; leave --per-request out.")
    if isinstance(shape, ClosedLoop) and per_request > shape.outstanding:
        raise click.UsageError(
            f"--per-request {per_request} is more than the {shape.outstanding} that are outstanding at most."
        )
    return replace(scenario, shape=replace(shape, per_request=per_request), changed=changed)


def _offering(scenario: Scenario, shape: Shape, name: str, told: str) -> Scenario:
    """The scenario with another load: under a name of its own if the load was all that it stood for."""
    if shape == scenario.shape:
        return scenario
    plain = BY_NAME[DEFAULT_OF[scenario.mode]]
    if replace(scenario, name=plain.name, words=plain.words, shape=plain.shape) != plain:
        return replace(scenario, shape=shape, changed=(*scenario.changed, told))
    return BY_NAME.get(name, replace(scenario, name=name, words=shape.words(), shape=shape))
