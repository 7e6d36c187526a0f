"""What is the matter with this node, and with the cluster as it sees it: two tables, worst causes first."""

from dataclasses import dataclass

from node.diagnosis.facts import NodeFacts, PeerFacts
from node.diagnosis.links import BEHIND_HEIGHTS, clock_is_off, is_used_twice
from node.diagnosis.room import DISK_LOW_RESERVES, MAP_FULL_PERMILLE, mib
from node.diagnosis.verdict import Rule, Verdict

FAILED_ROUNDS = 3
CERTIFICATION_LAG = 32
"""Heights; voters refuse payload at twice as many (C13)."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The node that looks, and everybody it looks at."""

    node: NodeFacts
    peers: tuple[PeerFacts, ...]

    @property
    def validators(self) -> tuple[PeerFacts, ...]:
        """The others that count in this epoch."""
        return tuple(peer for peer in self.peers if peer.is_validator)


# --- the node itself --------------------------------------------------------------------------------


def _diverged(scene: Scene) -> str | None:
    return "its ledger differs from the cluster's" if scene.node.is_diverged else None


def _never_signs(scene: Scene) -> str | None:
    if not scene.node.never_signs:
        return None
    return "the guard beside its key is lost, so it follows and never signs again"


def _disk_full(scene: Scene) -> str | None:
    node = scene.node
    if node.disk_free_bytes >= node.disk_reserve_bytes:
        return None
    return f"{mib(node.disk_free_bytes)} are free: below {mib(node.disk_reserve_bytes)} clients are refused"


def _own_clock(scene: Scene) -> str | None:
    known = sorted(peer.clock_skew_ms for peer in scene.validators if peer.clock_skew_ms is not None)
    if len(known) < 2:
        return None  # of two clocks nobody can tell which one is wrong
    middle = known[len(known) // 2]
    agree = [skew for skew in known if clock_is_off(skew, scene.node.clock_tolerance_ms)]
    if 2 * len(agree) <= len(known) or not clock_is_off(middle, scene.node.clock_tolerance_ms):
        return None
    return f"its clock is about {abs(middle)} ms {'behind' if middle > 0 else 'ahead of'} the others'"


def _key_twice(scene: Scene) -> str | None:
    tell = [peer.name for peer in scene.peers if is_used_twice(peer.own_key_twice_ms_ago)]
    return f"another process links with this node's key, as {', '.join(tell)} told it" if tell else None


def _catching_up(scene: Scene) -> str | None:
    node = scene.node
    if node.sync_target is None:
        return None
    return f"it is catching up: height {node.stored_height} of {node.sync_target}"


def _below_floor(scene: Scene) -> str | None:
    node = scene.node
    if node.round > node.floor_round and node.certified_height >= node.floor_height:
        return None
    return (
        "its data is older than what its key has signed: it signs again above round "
        f"{node.floor_round} (now {node.round}) and height {node.floor_height} (now {node.certified_height})"
    )


def _lacks_batches(scene: Scene) -> str | None:
    node = scene.node
    if not node.missing_batches or not node.failed_rounds:
        return None
    return f"{node.missing_batches} batches that were ordered are missing here and fetched"


def _overloaded(scene: Scene) -> str | None:
    node = scene.node
    if 2 * node.inbox <= node.inbox_max:
        return None
    return f"{node.inbox} inputs wait for it, of {node.inbox_max} at most: it does not keep up"


def _would_stop(scene: Scene) -> str | None:
    names = [f.name for f in scene.node.proposed_features if f.since_protocol is None]
    return f"its release does not know what is proposed: {', '.join(names)}" if names else None


def _left_out(scene: Scene) -> str | None:
    told = next((item for item in scene.node.left_out if item.name == scene.node.name), None)
    return None if told is None else f"it is {told.words}"


def _map_full(scene: Scene) -> str | None:
    used = scene.node.map_used_permille
    return f"{used / 10:.0f} % of the database's map are used" if used >= MAP_FULL_PERMILLE else None


def _disk_low(scene: Scene) -> str | None:
    node = scene.node
    if node.disk_free_bytes >= DISK_LOW_RESERVES * node.disk_reserve_bytes:
        return None
    return f"{mib(node.disk_free_bytes)} are free; at {mib(node.disk_reserve_bytes)} clients are refused"


def _well(scene: Scene) -> str | None:
    node = scene.node
    role = "it votes" if node.weight else "it follows, as an observer"
    return f"{role}: round {node.round}, height {node.stored_height}"


NODE_RULES: tuple[Rule[Scene], ...] = (
    Rule(
        "ledger-diverged",
        Verdict.FAULT,
        "Executing agreed blocks gave another result here than at the others.",
        "keep the data for comparison and report it; move the data folder away (never the keys) and start",
        _diverged,
    ),
    Rule(
        "guard-lost",
        Verdict.FAULT,
        "Nobody knows what the key has signed, so it never signs again.",
        "`isthmus key rotate consensus` makes a new key and has it accepted by governance",
        _never_signs,
    ),
    Rule(
        "disk-full",
        Verdict.FAULT,
        "There is too little room: clients are refused so that agreement can go on.",
        "make room: `isthmus db prune --keep BLOCKS` on the stopped node, or a larger disk",
        _disk_full,
    ),
    Rule(
        "own-key-used-twice",
        Verdict.FAULT,
        "Another process runs with this node's key, so neither stays linked; if both sign, that is evidence "
        "against it.",
        "stop one of the two: a copy of this home runs somewhere; `isthmus safety` moves a validator",
        _key_twice,
    ),
    Rule(
        "own-clock",
        Verdict.FAULT,
        "This machine's clock differs from those of most others.",
        "run chrony or systemd-timesyncd here; nothing has to be restarted",
        _own_clock,
    ),
    Rule(
        "catching-up",
        Verdict.WARNING,
        "The node fetches what it has missed.",
        "wait; `isthmus status` shows how far it is",
        _catching_up,
    ),
    Rule(
        "below-floor",
        Verdict.WARNING,
        "Data that is older than what the key signed was put in place: the node follows until it is past it.",
        "wait, and keep the other validators running until then; nothing else is to be done",
        _below_floor,
    ),
    Rule(
        "own-batches-missing",
        Verdict.WARNING,
        "Ordered transactions have not reached this node.",
        "look at the links to the other validators below; they are fetched from whoever answers",
        _lacks_batches,
    ),
    Rule(
        "overloaded",
        Verdict.WARNING,
        "More arrives than this machine can handle.",
        "give it more CPU, or send less; `/metrics` has loop_inbox_peak and journal_syncs",
        _overloaded,
    ),
    Rule(
        "own-release-old",
        Verdict.WARNING,
        "A feature is proposed that this release does not know: the node would stop where it begins.",
        "install the newer release before the proposal is approved",
        _would_stop,
    ),
    Rule(
        "own-turns-lost",
        Verdict.WARNING,
        "Rounds that this node had to lead failed, so the others take its turns for a while.",
        "it comes back by itself; if it does not, look at this machine's load, its clock and its links",
        _left_out,
    ),
    Rule(
        "map-nearly-full",
        Verdict.WARNING,
        "The database's address space is nearly used up.",
        "raise storage.map_bytes and restart, or prune",
        _map_full,
    ),
    Rule(
        "disk-nearly-full",
        Verdict.WARNING,
        "The disk will be full before long.",
        "make room before it is needed: `isthmus db prune`, or a larger disk",
        _disk_low,
    ),
    Rule("well", Verdict.GOOD, "Nothing is the matter with this node.", "", _well),
)
"""In this order; the last one always applies."""

# --- the cluster as this node sees it ---------------------------------------------------------------


def _no_quorum(scene: Scene) -> str | None:
    node = scene.node
    if node.has_quorum or not node.weight:
        return None  # who only follows needs no link to a quorum, and often has none
    missing = ", ".join(peer.name for peer in scene.validators if not peer.connected)
    return (
        f"no quorum: weight {node.reachable_weight} of {node.total_weight} is reachable and more than two "
        f"thirds are needed; missing are {missing or 'this node itself'}"
    )


def _not_followed(scene: Scene) -> str | None:
    if scene.node.weight or any(peer.connected for peer in scene.peers):
        return None
    height = scene.node.stored_height
    return f"nothing is heard of the cluster: nobody is linked, and this node stays at height {height}"


def _stalled(scene: Scene) -> str | None:
    node = scene.node
    if node.failed_rounds < FAILED_ROUNDS:
        return None
    silent = [peer.name for peer in scene.validators if peer.name not in node.timed_out_now]
    heard = f"; nothing is heard of {', '.join(silent)} in round {node.round}" if silent else ""
    return f"{node.failed_rounds} rounds failed since the last commit, with a quorum connected{heard}"


def _uncertified(scene: Scene) -> str | None:
    node = scene.node
    lag = node.committed_height - node.certified_height
    if lag < CERTIFICATION_LAG:
        return None
    return f"{lag} committed heights wait for their certificate"


def _others_ahead(scene: Scene) -> str | None:
    node = scene.node
    highest = max((p.certified_height or 0 for p in scene.validators if p.connected), default=0)
    if highest < node.height + BEHIND_HEIGHTS:
        return None
    return f"the cluster is at height {highest} and this node at {node.height}"


def _weakened(scene: Scene) -> str | None:
    away = [peer.name for peer in scene.validators if not peer.connected]
    node = scene.node
    if not away or not node.weight:
        return None
    spare = (3 * node.reachable_weight - 2 * node.total_weight - 1) // 3
    return (
        f"the cluster commits without {', '.join(away)}; weight {spare} more may fail before it stands still"
    )


def _commits(scene: Scene) -> str | None:
    node = scene.node
    waiting = f", {node.pending_transactions} transactions wait" if node.pending_transactions else ""
    if not node.weight:
        return f"the cluster is followed to height {node.certified_height}{waiting}"
    return f"the cluster commits: round {node.round}, height {node.certified_height}{waiting}"


CLUSTER_RULES: tuple[Rule[Scene], ...] = (
    Rule(
        "no-quorum",
        Verdict.FAULT,
        "Validators with too little weight are reachable: nothing can be committed, nothing is lost.",
        "start or reconnect the missing validators; it goes on by itself once enough are back",
        _no_quorum,
    ),
    Rule(
        "not-followed",
        Verdict.FAULT,
        "A node that only follows has no link to anybody, so it learns nothing.",
        "those that it dials must list its key under p2p.allowed (no restart); below is why each link fails",
        _not_followed,
    ),
    Rule(
        "rounds-fail",
        Verdict.FAULT,
        "Rounds end by timeout although enough validators are connected.",
        "look at the validators below, at their machines' load, disks and clocks",
        _stalled,
    ),
    Rule(
        "certification-lags",
        Verdict.WARNING,
        "Blocks are ordered faster than enough validators execute and sign them.",
        "look for validators below that are behind or do not vote; clients are slowed until it is caught up",
        _uncertified,
    ),
    Rule(
        "node-behind",
        Verdict.WARNING,
        "The others are further than this node.",
        "wait until it has caught up; its own line above says whether it does",
        _others_ahead,
    ),
    Rule(
        "weakened",
        Verdict.WARNING,
        "The cluster works, and some validators are away.",
        "bring them back before others fail",
        _weakened,
    ),
    Rule("commits", Verdict.GOOD, "The cluster commits.", "", _commits),
)
"""In this order; the last one always applies."""
