"""What is the matter with one other validator: the table of rules, the worst cause first."""

from node.diagnosis.facts import PeerFacts
from node.diagnosis.said import SAID_CAUSES, SAID_FAULTS, SAID_WARNINGS
from node.diagnosis.seen import Seen
from node.diagnosis.verdict import Rule, Verdict

SILENT_MS = 10_000
"""Every node tells where it is each second; ten of those missed in a row are no jitter."""
BEHIND_HEIGHTS = 8
BEHIND_ROUNDS = 8
VOTELESS_ROUNDS = 64
"""Rounds that went by without its vote, from which on it is said not to vote; less may be a busy machine."""
MISSED_ATTESTATIONS = 3
"""Waits in vain for its attestations, one after the other; one or two may be a busy moment."""
QUEUE_BYTES = 4 * 1024 * 1024
SCORE = 40
"""Points of misbehaviour that do not decay at once; 100 end a link."""
KEY_TWICE_MS = 60_000
CLOCK_SLACK_MS = 1_000
"""How much later than it was made a proposal may arrive before its maker's clock is suspected."""


def _both_vote(seen: Seen) -> bool:
    """Validators tell each other where they are each second; who follows is told of certified heights alone,
    and needs one link, not all."""
    return seen.node.weight > 0 and seen.peer.is_validator


def is_used_twice(seen_ms_ago: int | None) -> bool:
    """Whether two processes with one key took each other's place lately; they do so in seconds."""
    return seen_ms_ago is not None and seen_ms_ago <= KEY_TWICE_MS


def clock_is_off(skew_ms: int | None, tolerance_ms: int) -> bool:
    """Whether proposals with this skew are held back or come as if from the past."""
    return skew_ms is not None and not -(tolerance_ms + CLOCK_SLACK_MS) <= skew_ms <= tolerance_ms


def _reason(peer: PeerFacts) -> str:
    """Why the last attempt or link ended, without the name that begins it."""
    return peer.last_error.removeprefix(f"{peer.name}: ")


def _key_twice(seen: Seen) -> str | None:
    if not is_used_twice(seen.peer.key_twice_ms_ago):
        return None
    return f"two processes use the node key of {seen.peer.name}, and take each other's place on this link"


def _other_cluster(seen: Seen) -> str | None:
    peer = seen.peer
    if peer.connected or "another cluster" not in peer.last_error:
        return None
    return f"{peer.name} has another genesis: {_reason(peer)}"


_OTHER_PROTOCOL = ("speaks protocol", "its hello has version")
"""How the transport says so (p2p/hello.py)."""


def _other_version(seen: Seen) -> str | None:
    peer = seen.peer
    if peer.connected or not any(words in peer.last_error for words in _OTHER_PROTOCOL):
        return None
    return f"{peer.name} runs another protocol version: {_reason(peer)}"


def _banned(seen: Seen) -> str | None:
    peer = seen.peer
    if not peer.banned_for_ms:
        return None
    return f"{peer.name} misbehaved and is kept out for another {peer.banned_for_ms // 1000} s"


def _stranger(seen: Seen) -> str | None:
    peer = seen.peer
    if peer.connected or not any(word in peer.last_error for word in ("node key", "certificate", "pinned")):
        return None
    return f"{peer.name} and this node do not accept each other's node key: {_reason(peer)}"


def _unreachable(seen: Seen) -> str | None:
    return _not_linked(seen) if _both_vote(seen) else None


def _not_linked(seen: Seen) -> str | None:
    peer = seen.peer
    if peer.connected or (not peer.address and not _both_vote(seen)):
        return None
    where = f" at {peer.address}" if peer.address else ", which this node expects to dial in,"
    return f"{peer.name}{where} is not connected{': ' + _reason(peer) if peer.last_error else ''}"


def _silent(seen: Seen) -> str | None:
    heard = seen.peer.heard_ms_ago
    if heard is None or heard <= SILENT_MS or not _both_vote(seen):
        return None
    return f"{seen.peer.name} is connected and has said nothing for {heard // 1000} s"


def _clock(seen: Seen) -> str | None:
    skew = seen.peer.clock_skew_ms
    if skew is None or not clock_is_off(skew, seen.node.clock_tolerance_ms):
        return None
    return (
        f"the clock of {seen.peer.name} is {abs(skew)} ms {'ahead of' if skew > 0 else 'behind'} this one's"
    )


def gave_up_lately(peer: PeerFacts, round: int) -> bool:
    """Whether the last round that it gave up is `round`, in which the node is that looks at it, or the one
    before. What it gave up earlier says nothing of what it does now."""
    return peer.timeout_round is not None and peer.timeout_round >= round - 1


def _gave_up_for(seen: Seen, reason: str) -> bool:
    return gave_up_lately(seen.peer, seen.node.round) and seen.peer.timeout_reason == reason


def _lacks_batches(seen: Seen) -> str | None:
    if not _gave_up_for(seen, "payload_unavailable"):
        return None
    return f"{seen.peer.name} gave round {seen.peer.timeout_round} up because a batch of it was missing there"


def _refuses(seen: Seen) -> str | None:
    if not _gave_up_for(seen, "proposal_refused"):
        return None
    return f"{seen.peer.name} refused the proposal of round {seen.peer.timeout_round}"


def _behind(seen: Seen) -> str | None:
    height = seen.peer.certified_height
    if height is None or height + BEHIND_HEIGHTS > seen.node.certified_height or not _both_vote(seen):
        return None
    return f"{seen.peer.name} is at height {height}, {seen.node.certified_height - height} behind this node"


def _round_behind(seen: Seen) -> str | None:
    at = seen.peer.round
    if at is None or at + BEHIND_ROUNDS > seen.node.round or not _both_vote(seen):
        return None
    return f"{seen.peer.name} is in round {at}, {seen.node.round - at} behind this node"


def _voteless(seen: Seen) -> str | None:
    peer = seen.peer
    if not peer.is_validator or (peer.connected_for_ms or 0) < SILENT_MS:
        return None
    if peer.missed_rounds < VOTELESS_ROUNDS:
        return None  # a low round of its last vote alone shows nothing: in a quiet cluster none was due
    last = "has not voted" if peer.last_vote_round is None else f"voted last in round {peer.last_vote_round}"
    return f"{peer.name} follows, and {last}, while {peer.missed_rounds} rounds were certified without it"


def _would_stop(seen: Seen) -> str | None:
    peer = seen.peer
    newest = peer.protocol_newest
    if not peer.is_validator or newest is None:
        return None
    for feature in seen.node.proposed_features:
        if feature.since_protocol is not None and newest < feature.since_protocol:
            return (
                f"{peer.name} speaks protocol {newest} at most ({peer.software}) and would stop where "
                f"feature {feature.name}, which is proposed and needs {feature.since_protocol}, begins"
            )
    return None


def _left_out(seen: Seen) -> str | None:
    """Behind the causes that explain it: whoever is dead, silent or does not vote is left out as well."""
    told = next((item for item in seen.node.left_out if item.name == seen.peer.name), None)
    return None if told is None else f"{told.name} is {told.words}"


def _attests_nothing(seen: Seen) -> str | None:
    peer = seen.peer
    if peer.missed_attestations < MISSED_ATTESTATIONS or peer.attests_late:
        return None
    return (
        f"{peer.name} attested nothing, the last {peer.missed_attestations} times it was its turn to verify "
        "batches"
    )


def _attests_late(seen: Seen) -> str | None:
    peer = seen.peer
    if peer.missed_attestations < MISSED_ATTESTATIONS or not peer.attests_late:
        return None
    return (
        f"{peer.name} attests batches too late, the last {peer.missed_attestations} times it was its turn to "
        "verify them"
    )


def _slow_reader(seen: Seen) -> str | None:
    if seen.peer.queue_bytes <= QUEUE_BYTES:
        return None
    return f"{seen.peer.queue_bytes // 1024} KiB wait to be read by {seen.peer.name}"


def _scored(seen: Seen) -> str | None:
    if seen.peer.score < SCORE:
        return None
    return f"{seen.peer.name} breaks rules: {seen.peer.score} points of 100"


def _not_dialled(seen: Seen) -> str | None:
    peer = seen.peer
    return None if peer.connected else f"{peer.name} is not linked with this node, which does not dial it"


def _in_order(seen: Seen) -> str | None:
    peer = seen.peer
    where = "" if peer.round is None else f", round {peer.round}, height {peer.certified_height}"
    return f"{peer.name} takes part{where}" if peer.is_validator else f"{peer.name} is connected{where}"


PEER_RULES: tuple[Rule[Seen], ...] = (
    Rule(
        "key-used-twice",
        Verdict.FAULT,
        "Two processes run with the other node's key, so neither stays linked; if both sign, that is "
        "evidence against it.",
        "its operator must stop one of the two: a copy of its home runs somewhere",
        _key_twice,
    ),
    Rule(
        "other-genesis",
        Verdict.FAULT,
        "The other node has another genesis.json, so it belongs to another cluster.",
        "compare cluster ids with its operator and put the same genesis.json into both homes",
        _other_cluster,
    ),
    Rule(
        "other-protocol",
        Verdict.FAULT,
        "The other node speaks another version of the protocol.",
        "upgrade the older of the two",
        _other_version,
    ),
    Rule(
        "peer-banned",
        Verdict.FAULT,
        "The other node broke rules so often that it is kept out for a while.",
        "look for peer_fault in this node's log and talk with its operator; the ban ends by itself",
        _banned,
    ),
    Rule(
        "keys-not-pinned",
        Verdict.FAULT,
        "One of two nodes does not accept the other's node key.",
        "compare `isthmus show-node-id` there with the peer entry here, and the other way round",
        _stranger,
    ),
    Rule(
        "unreachable",
        Verdict.FAULT,
        "There is no link to the other node.",
        "is it started, is the address right, does a firewall stand between? `isthmus doctor` there tells",
        _unreachable,
    ),
    Rule(
        "not-linked",
        Verdict.WARNING,
        "There is no link between this node and another one, of which at least one only follows.",
        "nothing waits for it while who follows has another link; else start it, or correct its address",
        _not_linked,
    ),
    Rule(
        "silent",
        Verdict.FAULT,
        "The link is open, and nothing comes over it.",
        "look at that machine: the process may be stopped or starved; `isthmus why` there",
        _silent,
    ),
    *SAID_FAULTS,
    Rule(
        "clock-skew",
        Verdict.WARNING,
        "The other node's clock is off: its proposals are held back or come as if from the past.",
        "run chrony or systemd-timesyncd on the machine whose clock is wrong",
        _clock,
    ),
    Rule(
        "lacks-batches",
        Verdict.WARNING,
        "The other node could not vote because it lacked transactions that were ordered.",
        "look at the links between it and the other validators; it fetches them from whoever it reaches",
        _lacks_batches,
    ),
    Rule(
        "refuses-proposals",
        Verdict.WARNING,
        "The other node found a proposal against the rules.",
        "compare software versions and clocks; its log says which rule",
        _refuses,
    ),
    *SAID_CAUSES,
    Rule(
        "behind",
        Verdict.WARNING,
        "The other node is behind in height; it catches up.",
        "wait; if it does not come nearer, look at its disk and machine (`isthmus why` there)",
        _behind,
    ),
    Rule(
        "round-behind",
        Verdict.WARNING,
        "The other node is in an older round.",
        "wait some seconds: rounds follow by certificates; then look at the link's bytes and queue",
        _round_behind,
    ),
    Rule(
        "does-not-vote",
        Verdict.WARNING,
        "The other validator follows and does not vote.",
        "ask its operator for `isthmus why` there: its guard may be lost, or its data was restored",
        _voteless,
    ),
    Rule(
        "would-stop",
        Verdict.WARNING,
        "A feature is proposed that the other node's release does not know.",
        "upgrade that node before the proposal is approved, or withdraw the proposal",
        _would_stop,
    ),
    Rule(
        "leader-left-out",
        Verdict.WARNING,
        "Rounds that the other validator had to lead failed, so others take its turns for a while.",
        "if it goes on, look at its machine, its link and its clock: its proposals come too late",
        _left_out,
    ),
    Rule(
        "attests-nothing",
        Verdict.WARNING,
        "This node relies on verification certificates, and the other one does not say what it verified: it "
        "is asked ever less often, and the rest verify in its stead.",
        "set consensus.verification_certificates = true there too, on a release that speaks protocol 4; "
        "nothing is lost but speed",
        _attests_nothing,
    ),
    Rule(
        "attests-late",
        Verdict.WARNING,
        "Of verification certificates the other node's part comes too late: it is asked ever less often, and "
        "the rest verify in its stead.",
        "look at that machine's load and at the link to it; nothing is lost but speed",
        _attests_late,
    ),
    Rule(
        "slow-reader",
        Verdict.WARNING,
        "The other node reads more slowly than it is sent to.",
        "look at its machine and at the bandwidth between",
        _slow_reader,
    ),
    Rule(
        "breaks-rules",
        Verdict.WARNING,
        "The other node sent what it must not send.",
        "look for peer_fault in this node's log; at 100 points the link ends",
        _scored,
    ),
    *SAID_WARNINGS,
    Rule(
        "not-dialled",
        Verdict.GOOD,
        "There is no link with the other node, and none is expected: one of the two only follows.",
        "",
        _not_dialled,
    ),
    Rule("in-order", Verdict.GOOD, "Nothing is the matter with the other node.", "", _in_order),
)
"""In this order; the last one always applies."""
