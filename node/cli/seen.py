"""Peers as rows of a table: what a node sees of the others."""

from node.diagnosis import PeerFacts, gave_up_lately

PEER_HEADINGS = (
    "validator",
    "weight",
    "link",
    "heard",
    "round",
    "height",
    "last vote",
    "gave up",
    "clock",
    "queue",
    "in",
    "out",
    "score",
    "protocol",
)


def peer_row(peer: PeerFacts, round: int) -> tuple[object, ...]:
    """One line of the table; `round` is the one in which the node is that looks. A round that the peer gave
    up long ago is left out: it stands for ever in what was seen of a peer that has been well since."""
    gave_up = f"{peer.timeout_round} {peer.timeout_reason}" if gave_up_lately(peer, round) else "-"
    return (
        peer.name,
        peer.weight or "-",
        "up" if peer.connected else "banned" if peer.banned_for_ms else "DOWN",
        "-" if peer.heard_ms_ago is None else f"{peer.heard_ms_ago / 1000:.1f} s ago",
        _shown(peer.round),
        _shown(peer.certified_height),
        _shown(peer.last_vote_round),
        gave_up,
        "-" if peer.clock_skew_ms is None else f"{peer.clock_skew_ms:+d} ms",
        f"{peer.queue_frames} / {_bytes(peer.queue_bytes)}",
        _bytes(peer.bytes_in),
        _bytes(peer.bytes_out),
        peer.score,
        _shown(peer.protocol_version),
    )


def _shown(number: int | None) -> object:
    return "-" if number is None else number


def _bytes(size: int) -> str:
    if size < 10_000:
        return f"{size} B"
    return f"{size / 1000:.0f} kB" if size < 10_000_000 else f"{size / 1_000_000:.0f} MB"
