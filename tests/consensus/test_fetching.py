"""E4: who is asked for a missing block, and how soon the next one is."""

from consensus import (
    BLOCKS_COUNT_MAX,
    Block,
    Blocks,
    BlocksRequest,
    Certificates,
    Effect,
    Proposal,
    Received,
    RecoveredState,
    Replica,
    Round,
    Send,
    SetTimer,
    Started,
    Timer,
    TimerFired,
    TimerKind,
    ValidatorIndex,
)
from tests.consensus.cluster import ROOT, START_MS, Cluster, Node, config_of
from tests.consensus.forge import KEYS, VALIDATORS, block, certify, give_up, propose, rules

NOW = START_MS + 1_000
ONE = block(1)
RESEND = Timer(TimerKind.RESEND, Round(0))


def replica_of(index: int) -> Replica:
    replica = Replica(
        config_of(), VALIDATORS, ValidatorIndex(index), rules(index), RecoveredState(ROOT, START_MS)
    )
    replica.step(Started(), NOW)
    return replica


def asked(effects: list[Effect]) -> list[int]:
    """Who is asked for ONE."""
    keys: list[bytes] = [key.public_key for key in KEYS]
    sent = [(effect.peer, effect.message) for effect in effects if isinstance(effect, Send)]
    return [
        keys.index(peer)
        for peer, message in sent
        if isinstance(message, BlocksRequest) and message.block_id == ONE.id
    ]


def pauses(effects: list[Effect]) -> list[int]:
    return [e.delay_ms for e in effects if isinstance(e, SetTimer) and e.timer == RESEND]


def test_a_missing_block_is_asked_for_after_pauses_that_double_up_to_that_of_all_sending() -> None:
    replica, found = replica_of(2), []
    effects = replica.step(Received(KEYS[3].public_key, Certificates(certify(ONE), None, None)), NOW)
    for _ in range(7):
        found += pauses(effects)
        effects = replica.step(TimerFired(RESEND), NOW)
    assert found == [50, 100, 200, 400, 800, 1_000, 1_000]


def test_whoever_comes_next_is_asked_first_and_the_leader_before_us_last() -> None:
    """A leader that leaves its successor out would be asked first, were the order the same for all."""
    for index in range(4):
        replica = replica_of(index)
        replica.step(Received(KEYS[index - 1].public_key, Certificates(certify(ONE), None, None)), NOW)
        order = [asked(replica.step(TimerFired(RESEND), NOW)) for _ in range(4)]
        others = [(index + step) % 4 for step in (1, 2, 3)]
        assert order == [[other] for other in (*others, others[0])]


def test_whoever_showed_the_child_is_asked_before_all_and_only_once() -> None:
    replica = replica_of(0)
    replica.step(Received(KEYS[3].public_key, propose(block(2, certify(ONE)))), NOW)
    order = [asked(replica.step(TimerFired(RESEND), NOW)) for _ in range(3)]
    assert order == [[3], [2], [3]]


def counts(effects: list[Effect]) -> list[int]:
    """How many blocks are asked for, by request."""
    sent = [effect.message for effect in effects if isinstance(effect, Send)]
    return [message.count for message in sent if isinstance(message, BlocksRequest)]


def chain(*rounds: int) -> list[Block]:
    """Blocks of these rounds, each the parent of the next."""
    blocks: list[Block] = []
    for round in rounds:
        blocks.append(child(round, blocks[-1]) if blocks else block(round))
    return blocks


def child(round: int, parent: Block) -> Block:
    """A block on another one; the rounds between were given up."""
    tc = give_up(round - 1, (parent.round,) * 3) if round > parent.round + 1 else None
    return block(round, certify(parent), tc)


def miss(replica: Replica, missing: Block) -> list[int]:
    """Its certificate comes without it: how many blocks are asked for at first, and then of the next peer."""
    replica.step(Received(KEYS[3].public_key, Certificates(certify(missing), None, None)), NOW)
    return [count for _ in range(2) for count in counts(replica.step(TimerFired(RESEND), NOW))]


def test_one_missing_block_is_asked_for_alone() -> None:
    replica, blocks = replica_of(0), chain(*range(1, 6))
    for known in blocks[:4]:
        replica.step(Received(KEYS[known.author].public_key, propose(known)), NOW)
    assert miss(replica, blocks[4]) == [1, 1]


def test_all_that_may_be_missing_is_asked_for_when_less_did_not_help() -> None:
    replica, blocks = replica_of(0), chain(1, 2, 4)
    for known in blocks[:2]:
        replica.step(Received(KEYS[known.author].public_key, propose(known)), NOW)
    assert replica.rounds()[2] == 0
    assert miss(replica, blocks[2]) == [2, 4]


def test_as_many_blocks_are_asked_for_as_there_are_rounds_above_what_is_here() -> None:
    replica, blocks = replica_of(0), chain(1, 2, 7)
    replica.step(Received(KEYS[blocks[0].author].public_key, propose(blocks[0])), NOW)
    assert miss(replica, blocks[2])[0] == 6
    assert miss(replica_of(0), chain(*range(1, 100))[-1])[0] == BLOCKS_COUNT_MAX


def test_a_walk_goes_on_with_all_that_may_be_missing() -> None:
    """A block of a failed round is here, and is no ancestor of the one that is missing."""
    replica, blocks = replica_of(0), chain(1, 2, 3, 6)
    failed = child(5, blocks[0])
    replica.step(Received(KEYS[blocks[0].author].public_key, propose(blocks[0])), NOW)
    replica.step(Received(KEYS[failed.author].public_key, propose(failed)), NOW)
    assert miss(replica, blocks[3])[0] == 1
    answer = Blocks((propose(blocks[3]),))
    assert counts(replica.step(Received(KEYS[1].public_key, answer), NOW)) == [3]


def test_a_leader_that_leaves_its_successor_out_and_answers_nothing_costs_no_round() -> None:
    """The first validator: the one that all would ask first if they asked in one order."""
    cluster = Cluster()

    def passes(source: Node, target: Node, message: object) -> bool:
        if source.name != "a":
            return True
        if isinstance(message, Proposal) and message.block.author == source.index:
            return target.name != "b"
        return type(message).__name__ != "Blocks"

    cluster.filter = passes
    cluster.start()
    cluster.byzantine[0] = True
    for number in range(40):
        cluster.submit(b"%d" % number)
    assert cluster.run(5_000, lambda: not cluster.open_payloads())
    assert all(node.replica.view().timeouts_by_reason == () for node in cluster.nodes)
    assert cluster.node("b").replica.view().left_out == ()
