"""One look at a running node and at everybody it is linked to, as plain facts for people and rules."""

from consensus import out_until
from node.daemon.conditions import missing_batches
from node.daemon.daemon import Node, software_version
from node.daemon.featuregate import proposed_features
from node.daemon.readiness import BACKLOG_MAX
from node.daemon.startup import wall_ms
from node.daemon.watches import DISK_RESERVE_BYTES
from node.diagnosis import LeftOut, NodeFacts, PeerFacts, ProposedFeature
from node.pool.attesting import Missed
from node.storage import PRUNED_KEY, ChainTable, StateTable
from node.validator import Sighting, Validator
from p2p import PeerStatus

_UNSEEN = "it was never linked since this node started, and this node does not dial it"


def look(node: Node) -> tuple[NodeFacts, tuple[PeerFacts, ...]]:
    """The node, and its peers: the epoch's other validators in their order, linked or not, then who else is
    known."""
    return _node_facts(node), _all_peers(node)


def pruned_below(node: Node) -> int:
    """The height below which transactions were pruned here; 0 when none were."""
    stored = node.opened.store.chain_value(ChainTable.META, PRUNED_KEY)
    return 0 if stored is None else int.from_bytes(stored, "big")


def left_out(validator: Validator) -> tuple[LeftOut, ...]:
    """Whom nobody waits for as a leader now, by their place in the roster."""
    view, roster = validator.replica.view(), validator.term.roster
    return tuple(
        LeftOut(
            roster.validators[fault.author].name,
            fault.round,
            fault.strikes,
            fault.silent,
            out_until(fault, len(roster.validators)),
        )
        for fault in view.standing
        if fault.author in view.left_out
    )


def own_weight(validator: Validator) -> int:
    """The weight of this node's own vote; 0 for who has none."""
    me = validator.term.me
    return 0 if me is None else validator.term.roster.validators[me].weight


def missed_attestations(validator: Validator) -> dict[bytes, Missed]:
    """By node keys, the validators that this node waited for in vain when it last wanted batches verified."""
    records = validator.term.roster.validators
    found = validator.data.pool.attesting.missed()
    return {bytes(records[missed.validator].node_key): missed for missed in found}


def _node_facts(node: Node) -> NodeFacts:
    opened, validator = node.opened, node.validator
    view, data, term = validator.replica.view(), validator.data, validator.term
    floor, progress = opened.floor, data.catchup.progress()
    names = [record.name for record in term.roster.validators]
    return NodeFacts(
        name=opened.config.name,
        node_key=bytes(opened.identity.peer_id),
        cluster_name=opened.genesis.name,
        cluster_id=opened.genesis.cluster_id,
        version=software_version(),
        time_ms=wall_ms(),
        started_ms=node.started_ms,
        weight=own_weight(validator),
        total_weight=term.validators.total_weight,
        reachable_weight=validator.reachable_weight(),
        epoch=view.epoch,
        round=view.round,
        leader=names[view.leader],
        certified_round=view.hqc.round,
        last_vote_round=view.last_voted_round,
        failed_rounds=view.failed_rounds,
        round_timeout_ms=view.round_timeout_ms,
        committed_height=view.committed_height,
        certified_height=view.certified_height,
        stored_height=node.waiters.stored_height,
        pruned_below=pruned_below(node),
        sync_target=None if progress is None else progress.target_height,
        is_diverged=data.diverged is not None,
        never_signs=floor is not None and floor.record is None,
        floor_round=view.floor_round,
        floor_height=view.floor_height,
        missing_batches=missing_batches(validator),
        pending_transactions=len(data.desk.admission),
        inbox=len(node.postbox),
        inbox_max=BACKLOG_MAX,
        disk_free_bytes=opened.store.disk_free_bytes(),
        disk_reserve_bytes=DISK_RESERVE_BYTES,
        map_used_permille=int(1000 * opened.store.used_ratio()),
        clock_tolerance_ms=opened.genesis.params.precision_ms,
        timed_out_now=tuple(names[index] for index in view.timed_out_now),
        left_out=left_out(validator),
        proposed_features=_proposed(node),
    )


def _proposed(node: Node) -> tuple[ProposedFeature, ...]:
    with node.recent.over(node.opened.store) as snapshot:
        return proposed_features(lambda key: snapshot.get(StateTable.STATE, key))


def _all_peers(node: Node) -> tuple[PeerFacts, ...]:
    links = {bytes(status.peer): status for status in node.network.status()}
    own, facts = bytes(node.opened.identity.peer_id), []
    missed = missed_attestations(node.validator)
    for record in node.validator.term.roster.validators:
        key = bytes(record.node_key)
        if key != own:
            link = links.pop(key, None)
            facts.append(_peer_facts(node, key, record.name, record.weight, link, missed.get(key)))
    facts += [
        _peer_facts(node, key, status.name or key.hex()[:12], 0, status, missed.get(key))
        for key, status in links.items()
    ]
    return tuple(facts)


def _peer_facts(
    node: Node, key: bytes, name: str, weight: int, link: PeerStatus | None, missed: Missed | None
) -> PeerFacts:
    seen = node.validator.sightings.of(key) or Sighting(0)
    reason = seen.timeout_reason
    return PeerFacts(
        name=name,
        node_key=key,
        address="" if link is None else link.address or "",
        connected=link is not None and link.connected,
        certified_height=seen.certified_height,
        weight=weight,
        connected_for_ms=None if link is None else link.connected_for_ms,
        heard_ms_ago=max(0, wall_ms() - seen.heard_ms) if seen.heard_ms else None,
        round=seen.round,
        last_vote_round=seen.vote_round,
        missed_rounds=node.validator.sightings.missed_rounds(key),
        timeout_round=seen.timeout_round,
        timeout_reason="" if reason is None else reason.name.lower(),
        clock_skew_ms=seen.clock_skew_ms,
        missed_attestations=0 if missed is None else missed.count,
        attests_late=missed is not None and missed.is_late,
        queue_frames=0 if link is None else sum(queue.items for queue in link.queues),
        queue_bytes=0 if link is None else sum(queue.bytes for queue in link.queues),
        bytes_in=0 if link is None else sum(count for _, count in link.bytes_in),
        bytes_out=0 if link is None else sum(count for _, count in link.bytes_out),
        score=0 if link is None else link.score,
        banned_for_ms=0 if link is None else link.banned_for_ms,
        software="" if link is None else link.software,
        protocol_newest=None if link is None else link.protocol_newest,
        protocol_version=None if link is None else link.protocol_version,
        key_twice_ms_ago=None if link is None else link.key_twice_ms_ago,
        own_key_twice_ms_ago=None if link is None else link.own_key_twice_ms_ago,
        told=seen.condition,
        told_ms_ago=None if seen.condition is None else max(0, wall_ms() - seen.condition_ms),
        last_error=_UNSEEN if link is None else link.last_error,
    )
