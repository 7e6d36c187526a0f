"""Broken rules are caught: each rule of the light client is taken away, and an attack that it stops succeeds.

The attacks together are what a federation must survive; the shipped client survives all of them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consensus import SignatureCache
from node.anchoring.client import lightclient
from node.anchoring.client.lightclient import Corroboration, Update
from node.anchoring.client.state import ClientState, Tip
from node.anchoring.cluster.anchors import ClientStatus, Point
from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import follow_all
from node.anchoring.forks import evidence
from node.anchoring.forks.evidence import ForkEvidence
from node.anchoring.refusals import Refused
from node.proofs import rfc6962
from node.proofs.header import Header
from tests.node.anchoring.chains import Chain, certify, changed, keys
from tests.node.anchoring.forks.test_evidence import found, rotated

Attack = Callable[[], "str | None"]
"""Answers with the broken invariant, or None where the client held."""


def client(chain: Chain, height: int) -> ClientState:
    state = lightclient.admit(lightclient.register(chain.identity), Corroboration(is_approved=True))
    return lightclient.update(state, chain.update(0, height), chain.headers[height].time_ms, SignatureCache())


def after(state: ClientState, proposed: Update, now_ms: int) -> ClientState:
    """The client after somebody submitted this, whatever becomes of it."""
    try:
        return lightclient.update(state, proposed, now_ms, SignatureCache())
    except Refused:
        return state


def after_evidence(state: ClientState, submitted: ForkEvidence) -> ClientState:
    try:
        return lightclient.freeze(state, submitted, SignatureCache())[0]
    except Refused:
        return state


def fork_after_the_tip() -> str | None:
    chain = Chain().grow(110)
    fork = chain.fork(99).grow(11, salt="b")
    state = after(client(chain, 100), fork.update(100, 110), fork.now_ms)
    return None if state.last.height == 100 else "I2: the tip 100 is in no history that is held now"


def rewritten_past() -> str | None:
    chain = Chain().grow(20)
    fork = chain.fork(9).grow(11, salt="b")
    leaves = [rfc6962.leaf_hash(header.hash) for header in fork.headers[:20]]
    leaves[12] = rfc6962.leaf_hash(chain.headers[12].hash)
    header = changed(fork.headers[20], history_root=rfc6962.root(leaves))
    proposed = Update(
        certify(header, chain.sets[0]),
        (),
        chain.consistency(12, 20),
        rfc6962.inclusion_path(leaves, 12),
    )
    state = after(client(chain, 12), proposed, header.time_ms)
    return None if state.last.height == 12 else "I2: headers 10 and 11 were replaced"


def garbage() -> str | None:
    chain = Chain().grow(20)
    good = chain.update(12, 20)
    state = client(chain, 12)
    for wrong in (
        replace(good, tip_path=()),
        replace(good, consistency_path=()),
        replace(good, certified=chain.certified(20, (0, 1))),
        replace(good, links=rotated(1).links()),
    ):
        if after(state, wrong, chain.now_ms) != state:
            return "F3: a proof that failed changed the client"
    return None


def leaked_keys() -> str | None:
    chain = rotated(2)
    submitted = found(chain, chain.fork(2).grow(9, salt="leaked"))
    state = after_evidence(client(chain, chain.height), submitted)
    return None if state.status is ClientStatus.ACTIVE else "F5: keys of a past epoch froze the cluster"


def invented_set() -> str | None:
    chain = rotated(2)
    invented = chain.fork(2).grow(1, salt="x", next_set=keys("invented"))
    invented.grow(2, salt="x", next_set=keys("invented", first=4)).grow(5, salt="x")
    submitted = found(invented, invented.fork(6).grow(5, salt="y"))
    state = after_evidence(client(chain, chain.height), submitted)
    return None if state.status is ClientStatus.ACTIVE else "F5: an invented set froze the cluster"


def quorum_of_two() -> str | None:
    chain = Chain().grow(20)
    fork = chain.fork(12).grow(8, salt="b")
    weak = replace(fork.update(12, 20), certified=fork.certified(20, (0, 1)))
    state = after(client(chain, 12), weak, fork.now_ms)
    return None if state.last.height == 12 else "I1: two of four validators moved the client"


def set_beyond_its_end() -> str | None:
    chain = Chain().grow(4, next_set=keys("harbour", (1,) * 4, first=4)).grow(3)
    state = client(chain, 4)
    header = changed(
        chain.headers[6], epoch=0, validators_hash=chain.headers[0].validators_hash, block_id=bytes(32)
    )
    proposed = replace(chain.update(4, 6), certified=certify(header, chain.sets[0]), links=())
    state = after(state, proposed, header.time_ms)
    return None if state.last.height == 4 else "C4: a set certified beyond the end of its epoch"


def silence() -> str | None:
    wait = 2 * lightclient.STALE_AFTER_MS
    chain = Chain().grow(4).grow(2, next_set=keys("harbour", (1,) * 4, first=4), gap_ms=wait).grow(2)
    state = after(client(chain, 4), chain.update(4, 8), chain.now_ms)
    return None if state.last.height == 4 else "F8: epochs passed unwatched and nobody was asked"


def frozen_moves() -> str | None:
    chain = Chain().grow(20)
    state = replace(client(chain, 12), status=ClientStatus.FROZEN)
    return None if after(state, chain.update(12, 20), chain.now_ms) == state else "I7: a frozen client moved"


ATTACKS: tuple[Attack, ...] = (
    fork_after_the_tip,
    rewritten_past,
    garbage,
    leaked_keys,
    invented_set,
    quorum_of_two,
    set_beyond_its_end,
    silence,
    frozen_moves,
)


def no_tip_binding(last: Tip, header: Header, update: Update) -> None:
    if last.height:
        rfc6962.verify_consistency(
            last.height, last.history_root, header.height, header.history_root, update.consistency_path
        )


def skipped_consistency(last: Tip, header: Header, update: Update) -> None:
    Point.of(header).check_holds(last.height, last.header_hash, update.tip_path)


SHIPPED_UPDATE = lightclient.update


def failed_proof_freezes(state: ClientState, *arguments: Any, **named: Any) -> ClientState:
    try:
        return SHIPPED_UPDATE(state, *arguments, **named)
    except Refused:
        return replace(state, status=ClientStatus.FROZEN)


def any_set_will_do(submitted: ForkEvidence, ground: evidence.Ground, cache: SignatureCache) -> Any:
    return follow_all(submitted.links, ground.origin, ground.cluster_id, cache)[-1]


def nothing(*_: Any, **__: Any) -> None:
    """A check that checks nothing."""


def always_freezes(*_: Any) -> tuple[bool, str]:
    return True, "whatever its epoch"


def checks_no_signature(
    certified: Certified, cluster_id: bytes, incarnation: int, validators: Any, cache: Any
) -> None:
    """`Certified.check` without the certificate."""


MUTANTS: tuple[tuple[str, object, str, object, Attack], ...] = (
    ("no tip binding", lightclient, "_check_extends", no_tip_binding, fork_after_the_tip),
    ("skipped consistency proof", lightclient, "_check_extends", skipped_consistency, rewritten_past),
    ("failed proof freezes", lightclient, "update", failed_proof_freezes, garbage),
    ("past epochs freeze", evidence, "_does_freeze", always_freezes, leaked_keys),
    ("evidence by any set", evidence, "_set_of", any_set_will_do, invented_set),
    ("certificate unchecked", Certified, "check", checks_no_signature, quorum_of_two),
    ("ends of epochs ignored", lightclient, "_check_links_fit", nothing, set_beyond_its_end),
    ("silence is ignored", lightclient, "_check_corroborated", nothing, silence),
    ("accepted frozen client", lightclient, "_check_alive", nothing, frozen_moves),
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_shipped_client_survives_the_attack(attack: Attack) -> None:
    assert attack() is None


@pytest.mark.parametrize(
    ("name", "place", "rule", "broken", "attack"), MUTANTS, ids=[mutant[0] for mutant in MUTANTS]
)
def test_a_client_without_the_rule_is_caught(
    name: str, place: object, rule: str, broken: object, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, rule, broken)
    assert attack() is not None, name


def test_every_attack_is_the_end_of_some_mutant() -> None:
    assert {mutant[4] for mutant in MUTANTS} == set(ATTACKS)
