"""Every rule of diagnosis: what makes it speak, the worst cause first, and none that is silent."""

from dataclasses import replace
from typing import Any

import pytest

from node.diagnosis import (
    CLUSTER_RULES,
    DOWN_RULES,
    NODE_RULES,
    PEER_RULES,
    Diagnosis,
    HomeFacts,
    LeftOut,
    ProposedFeature,
    Verdict,
    diagnose,
    elsewhere,
    why_down,
)
from tests.node.diagnosis.scene import A_CONDITION, A_NODE, A_PEER

PEERS = tuple(replace(A_PEER, name=f"node-{number}") for number in range(1, 4))
HOME = HomeFacts("node-0", "http://127.0.0.1:27601", True, True, False, "", (), "to record 9", True, "")


def says(**words: Any) -> dict[str, Any]:
    """The change of a peer that says so of itself."""
    return {"told": replace(A_CONDITION, **words)}


OTHER_GENESIS = "node-1: it belongs to another cluster: its genesis is 0102, ours is 0304"
OF_A_PEER: list[tuple[str, dict[str, Any], str]] = [
    (
        "other-genesis",
        {"connected": False, "last_error": OTHER_GENESIS},
        "genesis: it belongs to another cluster",
    ),
    ("other-protocol", {"connected": False, "last_error": "it speaks protocol 2 (x), we speak 1"}, "2"),
    ("peer-banned", {"connected": False, "banned_for_ms": 90_500}, "another 90 s"),
    ("keys-not-pinned", {"connected": False, "last_error": "its node key is unknown"}, "node key"),
    ("unreachable", {"connected": False, "last_error": "no route"}, "127.0.0.1:27610 is not connected: no"),
    ("unreachable", {"connected": False, "address": ""}, "expects to dial in"),
    ("key-used-twice", {"key_twice_ms_ago": 60_000}, "two processes use the node key of node-1"),
    ("key-used-twice", {"key_twice_ms_ago": 9, "connected": False}, "take each other's place"),
    ("in-order", {"key_twice_ms_ago": 60_001}, "takes part"),
    ("silent", {"heard_ms_ago": 12_000}, "nothing for 12 s"),
    ("clock-skew", {"clock_skew_ms": 501}, "501 ms ahead of"),
    ("clock-skew", {"clock_skew_ms": -1_501}, "1501 ms behind"),
    ("lacks-batches", {"timeout_round": 999, "timeout_reason": "payload_unavailable"}, "round 999"),
    ("refuses-proposals", {"timeout_round": 1_000, "timeout_reason": "proposal_refused"}, "round 1000"),
    ("behind", {"certified_height": 492}, "8 behind"),
    ("round-behind", {"round": 992}, "8 behind"),
    ("does-not-vote", {"last_vote_round": 935, "missed_rounds": 64}, "voted last in round 935, while 64"),
    ("does-not-vote", {"last_vote_round": None, "missed_rounds": 64}, "has not voted"),
    ("attests-nothing", {"missed_attestations": 3}, "the last 3 times it was its turn"),
    ("attests-late", {"missed_attestations": 4, "attests_late": True}, "too late, the last 4 times"),
    ("slow-reader", {"queue_bytes": 5 * 2**20}, "5120 KiB"),
    ("breaks-rules", {"score": 40}, "40 points"),
    ("says-diverged", says(is_diverged=True), "node-1 says that its ledger differs"),
    ("says-guard-lost", says(never_signs=True), "node-1 says that the guard beside its key is lost"),
    ("says-disk-full", says(is_disk_low=True, disk_free_bytes=2**27), "128 MiB are free on its disk"),
    ("says-batches-missing", says(missing_batches=64), "node-1 says that it lacks 64 batches"),
    ("in-order", says(missing_batches=63), "takes part"),
    ("says-catching-up", says(sync_target=900), "says that it catches up to height 900, and is at 500"),
    ("says-catching-up", {**says(sync_target=9), "certified_height": None}, "catches up to height 9"),
    ("says-overloaded", says(inbox=5_000), "node-1 says that 5000 inputs wait for it"),
    ("says-map-nearly-full", says(map_used_permille=950), "says that 95 % of its database's map"),
    ("says-disk-nearly-full", says(disk_free_bytes=2**30), "no more than 1024 MiB are free"),
    ("in-order", {**says(is_diverged=True), "told_ms_ago": 20_001}, "takes part"),
    ("in-order", {"told": None, "told_ms_ago": None}, "takes part"),
    ("in-order", says(disk_free_bytes=2**31), "takes part"),
    ("unreachable", {**says(is_diverged=True), "connected": False}, "is not connected"),
    ("in-order", {}, "takes part, round 1000, height 500"),
    ("in-order", {"last_vote_round": None, "missed_rounds": 63}, "takes part"),
    ("in-order", {"missed_attestations": 2, "attests_late": True}, "takes part"),
    ("in-order", {"weight": 0, "last_vote_round": None}, "is connected"),
]
OF_THE_NODE: list[tuple[str, dict[str, Any], str]] = [
    ("ledger-diverged", {"is_diverged": True}, "differs"),
    ("guard-lost", {"never_signs": True}, "never signs"),
    ("disk-full", {"disk_free_bytes": 2**28 - 1}, "clients are refused"),
    ("catching-up", {"sync_target": 900}, "height 500 of 900"),
    ("below-floor", {"floor_round": 1_064}, "above round 1064 (now 1000)"),
    ("below-floor", {"floor_height": 564}, "height 564 (now 500)"),
    ("own-batches-missing", {"missing_batches": 3, "failed_rounds": 1}, "3 batches"),
    ("overloaded", {"inbox": 5_000}, "5000 inputs"),
    (
        "own-release-old",
        {"proposed_features": (ProposedFeature("late-fees", None),)},
        "does not know what is proposed: late-fees",
    ),
    (
        "own-turns-lost",
        {"left_out": (LeftOut("node-0", 980, 2, False, 1_040),)},
        "since round 980 (it failed to lead 2 times); it votes, and leads again from round 1040 on",
    ),
    ("map-nearly-full", {"map_used_permille": 900}, "90 %"),
    ("disk-nearly-full", {"disk_free_bytes": 2**30}, "1024 MiB are free"),
    ("well", {}, "it votes"),
    ("well", {"weight": 0}, "observer"),
]
OF_THE_CLUSTER: list[tuple[str, dict[str, Any], str]] = [
    (
        "rounds-fail",
        {"failed_rounds": 3, "timed_out_now": ("node-1", "node-3")},
        "nothing is heard of node-2",
    ),
    ("certification-lags", {"committed_height": 532}, "32 committed heights"),
    (
        "node-behind",
        {"certified_height": 492, "committed_height": 492, "stored_height": 492},
        "the cluster is at height 500 and this node at 492",
    ),
    # What catching up brought is stored before agreement goes on from there.
    ("node-behind", {"certified_height": 0, "committed_height": 0, "stored_height": 256}, "this node at 256"),
    ("commits", {"pending_transactions": 7}, "7 transactions wait"),
]
OF_A_HOME: list[tuple[str, HomeFacts, str]] = [
    ("no-answer", elsewhere("x", "http://there"), "http://there does not answer"),
    ("validator-given-away", replace(HOME, given_away="to move.json"), "to move.json"),
    ("runs-and-is-mute", replace(HOME, is_running=True), "its process runs"),
    (
        "would-not-start",
        replace(HOME, faults=(("genesis", "is missing", "put it"), ("a", "b", "c"))),
        "1 more",
    ),
    ("never-started", replace(HOME, has_data=False, ended_in_order=False), "has never run"),
    (
        "ended-abruptly",
        replace(HOME, ended_in_order=False, last_words="disk_full"),
        "its log ends: disk_full",
    ),
    ("stopped", HOME, "in good order (to record 9)"),
]


def check(found: Diagnosis, code: str, words: str) -> None:
    assert found.code == code
    assert words in found.words
    assert not found.words.endswith(".")
    assert (found.remedy == "") == (found.verdict == Verdict.GOOD.value)


@pytest.mark.parametrize(("code", "change", "words"), OF_A_PEER)
def test_a_peer_is_diagnosed(code: str, change: dict[str, Any], words: str) -> None:
    found = diagnose(A_NODE, (replace(A_PEER, **change),))[2]
    assert found.about == "node-1"
    check(found, code, words)


@pytest.mark.parametrize(("code", "change", "words"), OF_THE_NODE)
def test_the_node_itself_is_diagnosed(code: str, change: dict[str, Any], words: str) -> None:
    found = diagnose(replace(A_NODE, **change), PEERS)[1]
    assert found.about == "node-0"
    check(found, code, words)


@pytest.mark.parametrize(("code", "change", "words"), OF_THE_CLUSTER)
def test_the_cluster_is_diagnosed(code: str, change: dict[str, Any], words: str) -> None:
    found = diagnose(replace(A_NODE, **change), PEERS)[0]
    assert found.about == "cluster"
    check(found, code, words)


@pytest.mark.parametrize(("code", "home", "words"), OF_A_HOME)
def test_a_node_that_is_down_is_diagnosed(code: str, home: HomeFacts, words: str) -> None:
    check(why_down(home), code, words)


def test_a_lost_quorum_names_who_is_missing_and_a_weakened_cluster_what_it_can_still_lose() -> None:
    away = replace(PEERS[1], connected=False), replace(PEERS[2], connected=False)
    lost = diagnose(replace(A_NODE, reachable_weight=2), (PEERS[0], *away))[0]
    check(lost, "no-quorum", "weight 2 of 4")
    assert lost.words.endswith("missing are node-2, node-3")
    weak = diagnose(replace(A_NODE, reachable_weight=3), (PEERS[0], PEERS[1], away[1]))[0]
    check(weak, "weakened", "without node-3; weight 0 more may fail")
    roomy = diagnose(replace(A_NODE, total_weight=7, reachable_weight=6), (*PEERS[:2], away[1]))[0]
    check(roomy, "weakened", "weight 1 more may fail")


def test_who_only_follows_needs_no_link_to_a_quorum() -> None:
    node = replace(A_NODE, weight=0, reachable_weight=1)
    fed, dialled = PEERS[0], replace(PEERS[1], connected=False, last_error="no route")
    undialled = replace(PEERS[2], connected=False, address="")
    found = diagnose(node, (fed, dialled, undialled))
    check(found[0], CLUSTER_RULES[-1].code, "followed to height 500")
    check(found[3], "not-linked", "node-2 at 127.0.0.1:27610 is not connected: no route")
    check(found[4], "not-dialled", "node-3 is not linked with this node, which does not dial it")
    assert not any(item.verdict == Verdict.FAULT.value for item in found)


def test_who_catches_up_is_where_it_has_stored_to() -> None:
    assert replace(A_NODE, certified_height=0, stored_height=256).height == 256
    assert replace(A_NODE, certified_height=500, stored_height=499).height == 500


def test_who_only_follows_and_has_no_link_at_all_learns_nothing() -> None:
    node = replace(A_NODE, weight=0, reachable_weight=0)
    found = diagnose(node, tuple(replace(peer, connected=False) for peer in PEERS))
    check(found[0], "not-followed", "stays at height 500")


def test_nobody_expects_of_who_only_follows_what_validators_tell_each_other_each_second() -> None:
    quiet: dict[str, Any] = {"heard_ms_ago": 3_600_000, "round": 1, "certified_height": 0}
    watcher = replace(A_PEER, name="watcher", weight=0, **quiet)
    assert diagnose(A_NODE, (*PEERS, watcher))[-1].code == "in-order"
    gone = replace(watcher, connected=False)
    assert diagnose(A_NODE, (*PEERS, gone))[-1].code == "not-linked"
    assert diagnose(A_NODE, (*PEERS, replace(gone, address="")))[-1].code == "not-dialled"
    assert (
        diagnose(A_NODE, (*PEERS[:2], replace(PEERS[2], connected=False, address="")))[-1].code
        == "unreachable"
    )
    follower = replace(A_NODE, weight=0, reachable_weight=1)
    assert diagnose(follower, (replace(PEERS[0], **quiet),))[2].code == "in-order"


def test_the_own_clock_is_blamed_when_most_others_agree_against_it() -> None:
    def with_skews(*skews: int | None) -> Diagnosis:
        peers = tuple(replace(p, clock_skew_ms=skew) for p, skew in zip(PEERS, skews, strict=True))
        return diagnose(A_NODE, peers)[1]

    check(with_skews(3_000, 2_900, 3_100), "own-clock", "3000 ms behind the others'")
    check(with_skews(-3_000, -2_900, -4), "own-clock", "2900 ms ahead of the others'")
    assert with_skews(3_000, -1, -2).code == "well"
    assert with_skews(3_000, None, None).code == "well"


def test_who_is_left_out_as_a_leader_is_told_with_what_brings_it_back() -> None:
    quiet = LeftOut("node-1", 812, 1, True, 3_812)
    node = replace(A_NODE, left_out=(quiet,))
    found = diagnose(node, PEERS)
    check(
        found[2], "leader-left-out", "node-1 is left out as a leader since round 812 (it failed to lead once)"
    )
    assert "its votes, once certificates show them" in found[2].words
    assert "from round 3812 on" in found[2].words
    assert [item.code for item in found[3:]] == ["in-order", "in-order"], "the others lead"
    assert diagnose(node, (replace(PEERS[0], connected=False),))[2].code == "unreachable", "the cause first"


def test_who_would_stop_at_a_proposed_feature_is_named() -> None:
    features = ProposedFeature("early", 3), ProposedFeature("late", 4), ProposedFeature("unheard", None)
    node = replace(A_NODE, proposed_features=features)
    newer, older = replace(PEERS[0], protocol_newest=4), PEERS[1]
    unseen = replace(PEERS[2], protocol_newest=None)
    found = diagnose(node, (newer, older, unseen, replace(PEERS[1], name="watcher", weight=0)))
    check(found[3], "would-stop", "node-2 speaks protocol 3 at most (isthmus 0.1.0)")
    assert "feature late, which is proposed and needs 4" in found[3].words
    assert [found[place].code for place in (2, 4, 5)] == ["in-order"] * 3


def test_a_node_that_is_told_of_another_process_with_its_key_says_who_told_it() -> None:
    told, late = replace(PEERS[0], own_key_twice_ms_ago=500), replace(PEERS[1], own_key_twice_ms_ago=60_001)
    found = diagnose(A_NODE, (told, late, PEERS[2]))
    check(found[1], "own-key-used-twice", "as node-1 told it")
    assert [item.code for item in found[2:]] == ["in-order"] * 3
    assert diagnose(A_NODE, (late,))[1].code == "well"


def test_few_missing_batches_of_another_node_count_while_rounds_fail() -> None:
    lacks = replace(A_PEER, **says(missing_batches=2))
    assert diagnose(A_NODE, (lacks,))[2].code == "in-order"
    found = diagnose(replace(A_NODE, failed_rounds=1), (lacks,))[2]
    check(found, "says-batches-missing", "node-1 says that it lacks 2 batches")


def test_what_another_node_says_of_itself_explains_what_is_seen_of_it() -> None:
    """The cause stands in for what comes of it, and what this node sees of the link stands before both."""
    behind = replace(A_PEER, certified_height=1, **says(sync_target=500))
    assert diagnose(A_NODE, (behind,))[2].code == "says-catching-up"
    mute = replace(A_PEER, missed_rounds=64, **says(never_signs=True))
    assert diagnose(A_NODE, (mute,))[2].code == "says-guard-lost"
    silent = replace(A_PEER, heard_ms_ago=60_000, **says(is_diverged=True))
    assert diagnose(A_NODE, (silent,))[2].code == "silent"


def test_the_worst_cause_is_told_first() -> None:
    bad = replace(A_NODE, is_diverged=True, never_signs=True, disk_free_bytes=0, sync_target=900)
    assert diagnose(bad, PEERS)[1].code == "ledger-diverged"
    silent = replace(A_PEER, heard_ms_ago=60_000, clock_skew_ms=9_000, certified_height=1)
    assert diagnose(A_NODE, (silent,))[2].code == "silent"


def test_every_rule_is_shown_here_and_has_a_code_of_its_own() -> None:
    tables = (CLUSTER_RULES, NODE_RULES, PEER_RULES, DOWN_RULES)
    codes = [rule.code for table in tables for rule in table]
    assert len(set(codes)) == len(codes)
    shown = {case[0] for cases in (OF_A_PEER, OF_THE_NODE, OF_THE_CLUSTER) for case in cases}
    shown |= {case[0] for case in OF_A_HOME} | {"no-quorum", "weakened", "own-clock"}
    shown |= {
        "leader-left-out",
        "would-stop",
        "own-key-used-twice",
        "not-linked",
        "not-followed",
        "not-dialled",
    }
    assert shown == set(codes)
