"""Records cross between ledgers: shared, acknowledged, expired, refused, asked for; each once."""

from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.lanes import Explanation, Lane, Mode, Result, Step
from node.anchoring.lanes.courier import name_of
from node.anchoring.lanes.messages import Acknowledgement, decode_leaf
from node.ledger.apps.records import Entry, current_key
from node.ledger.apps.sharing import Outcome, Shared, outcome_key, shared_key
from node.ledger.codes import Code
from node.ledger.federation import queries
from node.ledger.federation.tables import StoredOutbox
from tests.node.ledger.federation.cluster import Cluster, federate, open_lane, settle


def two() -> tuple[Cluster, Cluster]:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    settle(a, b, rounds=1)
    return a, b


def shared(at: Cluster, source: Cluster, record_id: str) -> Shared | None:
    stored = at.state(b"records/" + shared_key(source.id, record_id))
    return None if stored is None else Shared.decode(stored)


def outcome(at: Cluster, other: Cluster, record_id: str, port: str = "records") -> Outcome:
    stored = at.state(b"records/" + outcome_key(port, other.id, record_id))
    assert stored is not None
    return Outcome.decode(stored)


def test_a_shared_record_arrives_and_its_source_hears_that_it_did() -> None:
    a, b = two()
    assert a.put("port/manifest").ok
    receipt = a.share("port/manifest", b)
    assert receipt.ok, receipt.explanation
    assert receipt.result == 1
    assert outcome(a, b, "port/manifest").result is None
    delivered = b.pull(a)
    assert delivered is not None
    assert delivered.ok, delivered.explanation
    assert delivered.result == (a.ledger.tip.height, "", ((0, "ok"),))
    arrived = shared(b, a, "port/manifest")
    stored = a.state(b"records/" + current_key("port/manifest"))
    assert arrived is not None
    assert stored is not None
    assert arrived.content == Entry.decode(stored).content
    acknowledged = a.pull(b)
    assert acknowledged is not None
    assert acknowledged.result == (b.ledger.tip.height, "", ((0, "settled"),))
    assert outcome(a, b, "port/manifest").result is Result.OK
    (lane,) = queries.lanes(a.state, a.id, b.id)
    assert (lane.sent, lane.acked, lane.pending, lane.oldest) == (1, 1, 0, None)
    explained = queries.explain_message(a.state, lane.lane, 1)
    assert (explained.step, explained.result) == (Step.NOTHING, Result.OK)


def test_what_comes_too_late_expires_with_a_receipt_and_the_lane_goes_on() -> None:
    a, b = two()
    a.put("port/late")
    a.share("port/late", b, lasting_ms=5_000)
    b.run(after_ms=60_000)
    delivered = b.pull(a)
    assert delivered is not None
    assert delivered.result[2] == ((0, "expired"),)  # type: ignore[index]  # a tuple
    assert shared(b, a, "port/late") is None
    a.pull(b)
    assert outcome(a, b, "port/late").result is Result.EXPIRED
    a.now_ms = max(a.now_ms, b.now_ms)
    assert a.share("port/late", b).ok
    settle(a, b, rounds=2)
    assert shared(b, a, "port/late") is not None
    assert outcome(a, b, "port/late").result is Result.OK


def test_what_no_policy_allows_is_answered_with_an_error() -> None:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    a.admit(b, "records")
    b.admit(a)
    a.put("port/manifest")
    a.share("port/manifest", b)
    delivered = b.pull(a)
    assert delivered is not None
    assert delivered.result[2] == ((0, "error"),)  # type: ignore[index]  # a tuple
    a.pull(b)
    told = outcome(a, b, "port/manifest")
    assert (told.result, told.answer) == (Result.ERROR, b"denied-by-policy")
    assert shared(b, a, "port/manifest") is None


def test_a_request_is_answered_by_a_share() -> None:
    a, b = two()
    a.put("port/manifest")
    (receipt,) = b.run(b.sign(b.alice, "records", "request", ("port/manifest", a.id)))
    assert receipt.ok, receipt.explanation
    settle(a, b, rounds=3)
    assert shared(b, a, "port/manifest") is not None
    assert outcome(b, a, "port/manifest", "records.request").result is Result.OK
    assert outcome(a, b, "port/manifest").result is Result.OK


def test_a_request_for_what_does_not_exist_is_an_error_and_one_that_may_not_ask_is_denied() -> None:
    a, b = two()
    b.run(b.sign(b.alice, "records", "request", ("port/nothing", a.id)))
    settle(a, b, rounds=2)
    told = outcome(b, a, "port/nothing", "records.request")
    assert (told.result, told.answer) == (Result.ERROR, b"record-unknown")
    a.put("port/manifest")
    assert a.govern(open_lane(b.id, "records.request", receive=False)).ok
    b.run(b.sign(b.alice, "records", "request", ("port/manifest", a.id)))
    settle(a, b, rounds=2)
    assert outcome(b, a, "port/manifest", "records.request").answer == b"denied-by-policy"
    assert shared(b, a, "port/manifest") is None


def test_an_older_version_that_arrives_later_changes_nothing() -> None:
    a, b = two()
    a.put("port/manifest", b"one")
    a.share("port/manifest", b)
    old = b.fetch(a)
    a.run(
        a.sign(
            a.alice,
            "records",
            "supersede",
            ("port/manifest", 1, bytes(32), 3, "text/plain", "file:y", (), ()),
        )
    )
    a.share("port/manifest", b)
    new = b.fetch(a)
    assert old is not None
    assert new is not None
    receipts = b.run(b.bring(new), b.bring(old))
    assert receipts[0].ok
    assert receipts[1].status == Code.NOTHING_NEW
    held = shared(b, a, "port/manifest")
    assert held is not None
    assert held.number == 2
    a.pull(b)
    assert outcome(a, b, "port/manifest").result is Result.OK


def test_only_the_owner_shares_and_only_what_exists() -> None:
    a, b = two()
    (receipt,) = a.run(a.signed_share("port/nothing", b))
    assert receipt.status == Code.RECORD_UNKNOWN
    (receipt,) = a.run(a.sign(a.alice, "records", "share", ("port/nothing", b.id)))
    assert receipt.status == Code.INVALID_ARGUMENTS


def test_three_clusters_hear_of_each_other_and_records_cross_each_pair() -> None:
    clusters = a, b, c = Cluster("ports.alpha"), Cluster("ports.beta"), Cluster("ports.gamma")
    federate(*clusters)
    for source in clusters:
        source.put(f"port/of-{source.name}")
        for other in clusters:
            if other is not source:
                assert source.share(f"port/of-{source.name}", other).ok
    settle(*clusters, rounds=3)
    for source in clusters:
        for other in clusters:
            if other is not source:
                assert shared(other, source, f"port/of-{source.name}") is not None
                assert outcome(source, other, f"port/of-{source.name}").result is Result.OK
    assert [view.client.name for view in queries.clusters(a.state, a.now_ms)] == [b.name, c.name]
    assert a.status(b) is ClientStatus.ACTIVE


def test_quotas_let_in_so_many_a_window_and_the_rest_waits() -> None:
    a, b = two()
    assert b.govern(open_lane(a.id, "records", quota=2)).ok
    for number in range(3):
        a.put(f"port/{number}")
        assert a.share(f"port/{number}", b, lasting_ms=600_000).ok
    delivered = b.pull(a)
    assert delivered is not None
    assert [word for _, word in delivered.result[2]] == ["ok", "ok", "over-quota"]  # type: ignore[index,union-attr]  # a tuple
    waiting = b.fetch(a)
    assert waiting is not None
    (receipt,) = b.run(b.bring(waiting))
    assert receipt.status == Code.QUOTA_USED
    b.run(after_ms=60_000)
    settle(a, b, rounds=1)
    assert shared(b, a, "port/2") is not None


def test_the_sequence_of_a_lane_is_the_receipts_result() -> None:
    a, b = two()
    a.put("port/manifest")
    results = [receipt.result for receipt in a.run(*(a.signed_share("port/manifest", b) for _ in range(3)))]
    assert results == [1, 2, 3]
    assert [step.sequence for step in explained(a, b, 3)] == [1, 2, 3]


def explained(a: Cluster, b: Cluster, count: int) -> list[Explanation]:
    lane = Lane(a.id, b.id, "records", Mode.UNORDERED)
    return [queries.explain_message(a.state, lane, sequence) for sequence in range(1, count + 1)]


def test_an_answer_is_found_by_its_place_and_by_the_message_that_it_answers() -> None:
    a, b = two()
    a.put("port/manifest")
    a.share("port/manifest", b)
    b.pull(a)
    (answer,) = (leaf for leaf in map(decode_leaf, b.said[a.id]) if isinstance(leaf, Acknowledgement))
    outbox = StoredOutbox(b.reader)
    index = outbox.place(a.id, name_of(answer))
    assert index is not None
    assert outbox.leaf(a.id, index) == answer.encoded
    assert outbox.answer(a.id, answer.message_hash) == index
    assert outbox.answer(a.id, bytes(32)) is None
