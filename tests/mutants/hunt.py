"""How a mutant is hunted: small worlds from seeds, bad weather, clients, then peace and a reckoning.

The weather and the clients are the same for all mutants unless a rule can be broken only by a liar or only
when something certain is lost; `Hunt` says so. A world tells by a `Violation`: of a checker while it runs,
or of the reckoning at its end. The shipped node must be silent in the very same worlds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bench.sim.host import Host
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.seams import Behaviour, Parts
from bench.sim.setting import CREATED_MS, Setting, make_setting
from bench.sim.violation import Violation
from bench.sim.world import Pace, World
from consensus import Evidence, LocalError
from node.ledger.params import Params
from node.storage import ChainTable
from node.validator import Tuning
from tests.mutants.clients import Clients
from tests.mutants.weather import DELAY_US, GENERIC, Fault, Weather

_EVIDENCE_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Hunt:
    """What is done to a world of one seed. Times are virtual milliseconds.

    `liars` are Byzantine hosts: (place, factory of a behaviour from a seed); `twins` validators that run
    twice. `gap_ms` is the time between two faults, `pause_ms` between two requests of clients, `bulky`
    or small; `lag_max` is K of C13; `inline_bytes` the most batch bodies inside a block;
    `persist_us` what a write of the journal takes, in microseconds; `seal_delay_ms` how long a batch may
    wait for company; `calm_ms` how long peace may take to bring everything in order; `together` the
    transactions of a request; `candidates` how many nodes without a seat there are beside; `certificates`
    whether nodes believe what a blocking set verified.
    """

    storm_ms: int = 5_000
    nodes: int = 4
    faults: tuple[Fault, ...] = GENERIC
    gap_ms: tuple[int, int] = (30, 500)
    liars: tuple[tuple[int, Callable[[int], Behaviour]], ...] = ()
    twins: tuple[int, ...] = ()
    pause_ms: tuple[int, int] = (10, 60)
    bulky: bool = False
    lag_max: int = 64
    inline_bytes: int = 1_024
    persist_us: int = 1_000
    seal_delay_ms: int = 25
    calm_ms: int = 12_000
    together: int = 1
    candidates: int = 0
    certificates: bool = False


def run(hunt: Hunt, seed: int, parts: Parts) -> Violation | None:
    """One world of this seed; what was seen of a broken rule in it, if anything."""
    random = Random(seed)
    world = World(
        _setting(hunt),
        seed,
        quality=Quality(DELAY_US),
        pace=Pace(persist_us=hunt.persist_us),
        parts=parts,
        tuning=Tuning(
            base_timeout_ms=200,
            seal_delay_ms=hunt.seal_delay_ms,
            verification_certificates=hunt.certificates,
        ),
        twins=hunt.twins,
        behaviours={place: factory(seed) for place, factory in hunt.liars},
    )
    weather = Weather(world, random, hunt.faults, hunt.gap_ms)
    clients = Clients(world, random, hunt.pause_ms, hunt.bulky, hunt.together)
    try:
        world.start()
        clients.ask()
        weather.blow()
        world.run(hunt.storm_ms)
        clients.stop()
        weather.calm_down()
        world.checkers.on_calm()
        _reckon(world, clients, hunt.calm_ms)
    except Violation as violation:
        return violation
    except LocalError as error:
        # An honest node stops loudly when it finds itself wrong: it saw what the checkers would have seen.
        return Violation("local-error", str(error))
    return None


def _setting(hunt: Hunt) -> Setting:
    """A setting in which ten empty rounds a second keep an idle cluster busy."""
    params = Params(
        created_ms=CREATED_MS,
        idle_interval_ms=100,
        certification_lag_max=hunt.lag_max,
        inline_bytes_max=hunt.inline_bytes,
    )
    return make_setting(hunt.nodes, KEYED_HASH, params=params, candidates=hunt.candidates)


def _reckon(world: World, clients: Clients, calm_ms: int) -> None:
    """Whatever happened before, in peace everything comes in order. Raises Violation."""
    last = [world.transaction() for _ in world.honest]
    for host, transaction in zip(world.honest, last, strict=True):
        host.submit(transaction)
    if not world.stored(last, calm_ms):
        heights = {host.name: host.height for host in world.hosts}
        raise Violation("liveness", f"a new transaction is not everywhere after {calm_ms} ms: {heights}")
    world.settle(calm_ms)
    owed = clients.owed()
    if not world.stored(owed, calm_ms):
        raise Violation("promise", f"of {len(owed)} transactions that a host took some were never executed")
    for host in world.honest:
        _check_evidence(world, host)


def _check_evidence(world: World, host: Host) -> None:
    with host.disk.store.snapshot() as snapshot:
        for _, data in snapshot.scan(ChainTable.EVIDENCE, b"", limit=_EVIDENCE_MAX):
            accused = Evidence.decode(data).accused
            if accused not in world.checkers.exempt:
                raise Violation("evidence", f"host {host.name} holds evidence against the honest {accused}")
