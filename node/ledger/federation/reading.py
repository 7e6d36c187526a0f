"""Answering a member of another cluster from one snapshot, and asking for one of ours (F15).

A question is judged before anything is looked up, so that a refusal tells nothing of what exists. A
credential counts under the header that is anchored here, or a later one that the validators we know have
certified: whoever was removed cannot come back with an older one.
"""

from consensus import CodecError, LocalError, SignatureCache
from node.anchoring.bundles.bundle import Bundle, OutboxStatement, StateStatement
from node.anchoring.client.lightclient import tick
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.cluster.certified import Certified
from node.anchoring.lanes.courier import LeafName
from node.anchoring.lanes.inbound import INBOUND_BYTES_MAX
from node.anchoring.lanes.outbox import prove_leaf
from node.anchoring.questions import (
    PAGE_MAX,
    CatalogueAsked,
    Credential,
    FactAsked,
    LeafAsked,
    Listed,
    MemberAsked,
    Page,
    PathAsked,
    Question,
    Refusal,
    StateAsked,
    encode_path,
)
from node.anchoring.refusals import Refused
from node.ledger.apps import records
from node.ledger.apps.app import app_prefix
from node.ledger.apps.records import Entry
from node.ledger.codes import RejectedTransaction
from node.ledger.federation.grants import grants_of, listable, may_read
from node.ledger.federation.records import client_of, params_of
from node.ledger.federation.serving import certificate_at, history_path, state_nodes, stored_link, tip_of
from node.ledger.federation.tables import StoredOutbox
from node.ledger.members import Member, decode_member, member_key
from node.proofs import ProofError, smt
from node.storage import Reader, Snapshot, StateTable

SCANNED_MAX = 512
"""Records looked at for one page of a catalogue, 10 us each; a cluster may ask for 20 pages a second."""
_SCAN_STEP = 256
_FOLLOWED = (ClientStatus.ACTIVE, ClientStatus.STALE)
"""Members of all others are denied. Those of a STALE one are answered once it is heard of again: who was
removed meanwhile is a member under the anchored tip still, and keys of its epoch may have leaked since."""
_CURRENT = app_prefix(records.NAME) + records.current_key("")
_RESOURCES = f"{records.NAME}/"


class ReadRefused(Exception):
    """A question of another cluster that is not answered; `refusal` is all that it is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


def state_key_of(resource: str) -> bytes:
    """The state key behind a resource's name. Raises ReadRefused UNAVAILABLE for what can be none."""
    app, _, name = resource.partition("/")
    if app != records.NAME:
        raise ReadRefused(Refusal.UNAVAILABLE)
    try:
        return app_prefix(app) + records.current_key(records.check_record_id(name))
    except RejectedTransaction as error:
        raise ReadRefused(Refusal.UNAVAILABLE) from error


# --- asking -------------------------------------------------------------------------------------------


def credential(reader: Reader, public_key: bytes) -> bytes | None:
    """That this key is a member's, for other clusters; None when it is none."""
    key = member_key(public_key)
    leaf = reader.get(StateTable.STATE, key)
    if leaf is None:
        return None
    tip = tip_of(reader)
    proof = smt.prove(state_nodes(reader), key)
    return Credential(Certified(tip, certificate_at(reader, tip.height)), leaf, proof).encode()


# --- answering ----------------------------------------------------------------------------------------


def tell(reader: Snapshot, cluster_id: bytes, asked: FactAsked, now_ms: int) -> bytes:
    """The fact that a node of cluster `cluster_id` asks for. Raises ReadRefused, SnapshotExpired."""
    match asked:
        case MemberAsked():
            return _answer(reader, cluster_id, asked, now_ms)
        case PathAsked(low, high):
            try:
                return encode_path(history_path(reader, low, high))
            except ValueError as error:
                raise ReadRefused(Refusal.UNAVAILABLE) from error
        case LeafAsked(name):
            return _fitting(outbox_bundle(reader, cluster_id, name))


def outbox_bundle(reader: Reader, cluster_id: bytes, name: LeafName) -> Bundle:
    """What we said to `cluster_id` about this, proven, without genesis. Raises ReadRefused UNAVAILABLE."""
    outbox = StoredOutbox(reader)
    index = outbox.place(cluster_id, name)
    if index is None:
        raise ReadRefused(Refusal.UNAVAILABLE)
    proof = prove_leaf(outbox, cluster_id, index)
    return _bundle(reader, OutboxStatement(cluster_id, outbox.leaf(cluster_id, index), proof))


def judge(reader: Reader, cluster_id: bytes, asked: MemberAsked, now_ms: int) -> tuple[Question, Member]:
    """The question and the member who asks it. Raises ReadRefused; nothing that was asked for is read."""

    def get(key: bytes) -> bytes | None:
        return reader.get(StateTable.STATE, key)

    client = client_of(get, cluster_id)
    if client is None or client.status not in _FOLLOWED:
        raise ReadRefused(Refusal.DENIED)
    if tick(client, now_ms, params_of(get).stale_after_ms).status is ClientStatus.STALE:
        raise ReadRefused(Refusal.NOT_A_MEMBER)
    try:
        question = Question.decode(asked.question)
        shown = Credential.decode(asked.credential)
    except CodecError as error:
        raise ReadRefused(Refusal.MISDIRECTED) from error
    refusal = question.check(cluster_id, tip_of(reader).cluster_id, now_ms)
    if refusal is not None:
        raise ReadRefused(refusal)
    return question, _member(client, question, shown)


def _member(client: ClientState, question: Question, shown: Credential) -> Member:
    header = shown.certified.header
    try:
        if header.height < client.last.height:
            raise ReadRefused(Refusal.NOT_A_MEMBER)
        if header.height > client.last.height:
            shown.certified.check(client.cluster_id, client.incarnation, client.validators, SignatureCache())
        elif header.hash != client.last.header_hash:
            raise ReadRefused(Refusal.NOT_A_MEMBER)
        smt.verify_presence(header.state_root, member_key(question.member), shown.leaf, shown.proof)
        member = decode_member(shown.leaf)
    except (Refused, ProofError, CodecError) as error:
        raise ReadRefused(Refusal.NOT_A_MEMBER) from error
    if member.public_key != question.member:
        raise ReadRefused(Refusal.NOT_A_MEMBER)
    return member


def _answer(reader: Snapshot, cluster_id: bytes, asked: MemberAsked, now_ms: int) -> bytes:
    question, member = judge(reader, cluster_id, asked, now_ms)
    grants = grants_of(lambda key: reader.get(StateTable.STATE, key), cluster_id)
    match question.subject:
        case StateAsked(resource):
            if not may_read(grants, member, resource):
                raise ReadRefused(Refusal.DENIED)
            key = state_key_of(resource)
            value = reader.get(StateTable.STATE, key)
            proof = smt.prove(state_nodes(reader), key)
            return _fitting(_bundle(reader, StateStatement(key, value, proof)))
        case CatalogueAsked(text, after):
            prefixes = listable(grants, member)
            if not prefixes:
                raise ReadRefused(Refusal.DENIED)
            return _page(reader, prefixes, text.lower(), after).encode()


def _bundle(reader: Reader, statement: StateStatement | OutboxStatement) -> Bundle:
    """The statement under our tip, with all links and without the genesis, which whoever asks has."""
    tip = tip_of(reader)
    links = tuple(stored_link(reader, epoch) for epoch in range(1, tip.epoch + 1))
    certificate = certificate_at(reader, tip.height)
    return Bundle(b"", tip.encoded, certificate, None, None, statement, links)


def _fitting(bundle: Bundle) -> bytes:
    """The bundle, without its links where it is too large with them. Raises ReadRefused UNAVAILABLE."""
    data = bundle.encode()
    if len(data) > INBOUND_BYTES_MAX:
        bare = Bundle(b"", bundle.header, bundle.certificate, None, None, bundle.statement)
        data = bare.encode()
    if len(data) > INBOUND_BYTES_MAX:
        raise ReadRefused(Refusal.UNAVAILABLE)
    return data


def _page(reader: Snapshot, prefixes: tuple[str, ...], text: str, after: str) -> Page:
    """Names behind `after` that contain `text`; whatever is scanned may be listed, the cursor too."""
    height, looked_at, found = tip_of(reader).height, 0, list[Listed]()
    for prefix in prefixes:
        start = max(prefix, after)
        while start:
            rows, behind = _rows(reader, prefix, start)
            for resource, stored in rows:
                looked_at += 1
                if resource > after and (listed := _listed(resource, stored, text)) is not None:
                    found.append(listed)
                if len(found) >= PAGE_MAX or looked_at >= SCANNED_MAX:
                    return Page(height, tuple(found), resource)
            start = behind
    return Page(height, tuple(found), "")


def _rows(reader: Snapshot, prefix: str, start: str) -> tuple[list[tuple[str, bytes]], str]:
    """Records from `start` on whose names begin with `prefix`, and where to go on, empty at the end."""
    if not prefix.startswith(_RESOURCES) and not _RESOURCES.startswith(prefix):
        return [], ""
    first = _CURRENT + start.removeprefix(_RESOURCES).encode() if start.startswith(_RESOURCES) else _CURRENT
    rows: list[tuple[str, bytes]] = []
    for key, stored in reader.scan(StateTable.STATE, first, limit=_SCAN_STEP):
        resource = _RESOURCES + key[len(_CURRENT) :].decode("utf-8", "replace")
        if not key.startswith(_CURRENT) or not resource.startswith(prefix):
            return rows, ""
        rows.append((resource, stored))
    if len(rows) < _SCAN_STEP:
        return rows, ""
    return rows, rows[-1][0] + "\x00"


def _listed(resource: str, stored: bytes, text: str) -> Listed | None:
    try:
        entry = Entry.decode(stored)
    except CodecError as error:
        raise LocalError(f"the record {resource} cannot be read: {error}") from error
    words = (resource, entry.content.schema, *(value for _, value in entry.content.labels))
    if not any(text in word.lower() for word in words):
        return None
    return Listed(resource, "record", entry.owner, entry.number, entry.height)
