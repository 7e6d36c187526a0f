"""What questions of members need of our own ledger: each answered from one snapshot.

Everything here takes time (disk, hashes, signatures): `ReadingsInThreads` is how tasks call it, with threads
of its own for each direction, so that those who ask us never hold up our members.
"""

import trio

from consensus import SignatureCache, encode
from node.anchoring.answers import leaf_told, state_told
from node.anchoring.bundles.bundle import Bundle
from node.anchoring.bundles.message import MessageFile
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import follow_all
from node.anchoring.lanes.courier import LeafName
from node.anchoring.lanes.messages import Acknowledgement, Lane, Message
from node.anchoring.lanes.tracing import Step
from node.anchoring.questions import FactAsked, Refusal
from node.anchoring.refusals import Refused
from node.daemon.federation.exchange import AskFailed
from node.daemon.federation.ledgerside import Snapshots
from node.daemon.federation.told import HeldProof
from node.ledger.federation import queries, reading
from node.ledger.federation.keys import client_key
from node.ledger.federation.records import decode_client
from node.ledger.federation.serving import state_nodes, tip_of
from node.proofs import ProofError, smt
from node.proofs.header import Header
from node.storage import Snapshot, StateTable


class NoAnswer(Exception):
    """A member's question, or a request for a proof, that came to nothing. `code` is stable: a word of
    `questions.Refusal`, or one of NO_ANSWER."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


NO_ANSWER: dict[str, str] = {
    "malformed": "What was asked is no question; use the client of the node's version.",
    "unknown-cluster": "No cluster of this id was admitted here; `isthmus federation list` tells which were.",
    "not-active": "The cluster is frozen or retired here, so nothing that it says is believed.",
    "unreachable": "No node of that cluster is connected to this node; look at `isthmus federation list`.",
    "silent": "Its nodes did not answer in time; ask again, or through another node.",
    "busy": "It, or this node, answers as many questions as it may; ask again.",
    "false-answer": "What came does not prove what it says; the node that sent it was scored. Ask again.",
    "not-anchored": "The answer's root was not anchored here in time; ask again with a longer --timeout.",
    "not-sent": "No message of that number was sent on that lane; `isthmus lanes` tells what was.",
    "place-closed": "A recovery closed that message's place: no acknowledgement of it is there to prove.",
    "not-answered": "That message is not acknowledged yet; `isthmus explain` tells what it waits for.",
}
"""Why there is no answer beside the other cluster's own refusals, with the way out."""


class Readings:
    """Our ledger as questions need it. Any thread may use it. Methods raise SnapshotLimit and
    SnapshotExpired."""

    def __init__(self, store: Snapshots, own_id: bytes, own_genesis_body: bytes) -> None:
        self._store = store
        self._own_id = own_id
        self._own_genesis_body = own_genesis_body

    def tell(self, cluster_id: bytes, asked: FactAsked, now_ms: int) -> bytes:
        """What cluster `cluster_id` is told. Raises ReadRefused."""
        with self._store.snapshot() as snapshot:
            return reading.tell(snapshot, cluster_id, asked, now_ms)

    def credential(self, public_key: bytes) -> bytes:
        """That this key is a member's of ours. Raises NoAnswer."""
        with self._store.snapshot() as snapshot:
            found = reading.credential(snapshot, public_key)
        if found is None:
            raise NoAnswer(Refusal.NOT_A_MEMBER.value, f"{public_key.hex()} is no member of this cluster")
        return found

    def held(self, cluster_id: bytes) -> HeldProof:
        """How we hold a cluster, provably. Raises NoAnswer when it is unknown, frozen or retired."""
        with self._store.snapshot() as snapshot:
            key = client_key(cluster_id)
            leaf = snapshot.get(StateTable.STATE, key)
            if leaf is None:
                raise NoAnswer("unknown-cluster", f"cluster {cluster_id.hex()} was never admitted here")
            proof = encode(smt.prove(state_nodes(snapshot), key).to_value())
            body = queries.genesis_body(lambda at: snapshot.get(StateTable.STATE, at), cluster_id) or b""
            height = tip_of(snapshot).height
        client = decode_client(leaf)
        if client.status in (ClientStatus.FROZEN, ClientStatus.RETIRED):
            raise NoAnswer("not-active", f"{client.name} is {client.status.name.lower()} here")
        return HeldProof(height, client, leaf, proof, body)

    def check_state(self, cluster_id: bytes, key: bytes, data: bytes) -> tuple[Bundle, Header]:
        """The bundle about `key`. Raises ProofError and AskFailed. Whether its root is anchored is not looked
        at, but above the anchored tip nobody may make us wait for what is not there."""
        bundle, header = state_told(data, cluster_id, key)
        client = self.held(cluster_id).client
        if header.height > client.last.height:
            _check_certified(client, header, bundle)
        return bundle, header

    def sent(self, cluster_id: bytes, name: LeafName) -> Bundle:
        """The proof that we sent a message. Raises NoAnswer."""
        with self._store.snapshot() as snapshot:
            if self._step(snapshot, cluster_id, name) is Step.GAP:
                raise NoAnswer(
                    "not-sent",
                    f"no message ever stands at {name.sequence} on {name.port}: the lane went on above the "
                    "places that a recovery of ours closed",
                )
            try:
                return reading.outbox_bundle(snapshot, cluster_id, name)
            except reading.ReadRefused as refused:
                raise NoAnswer("not-sent", f"there is no message {name.sequence} on {name.port}") from refused

    def require_open(self, cluster_id: bytes, name: LeafName) -> None:
        """Raises NoAnswer where the place of a message was closed: nobody there acknowledges it any more."""
        with self._store.snapshot() as snapshot:
            if self._step(snapshot, cluster_id, name) in (Step.CLOSED, Step.CLOSED_PLACE):
                raise NoAnswer(
                    "place-closed",
                    f"the other cluster closed the place of message {name.sequence} after a recovery and has "
                    "no acknowledgement of it: it is EXPIRED here, or ends with what was answered there",
                )

    def _step(self, snapshot: Snapshot, cluster_id: bytes, name: LeafName) -> Step:
        lane = Lane(self._own_id, cluster_id, name.port, name.mode)
        return queries.explain_message(
            lambda at: snapshot.get(StateTable.STATE, at), lane, name.sequence
        ).step

    def check_answered(self, cluster_id: bytes, sent: Bundle, data: bytes) -> tuple[bytes, Header]:
        """The message file of what we sent and this answer, and the answer's header, which is certified.
        Raises ProofError, AskFailed, and NoAnswer where the answer is to another message, in a place that was
        closed."""
        bundle, header, answered = leaf_told(data, cluster_id, self._own_id)
        _, _, said = leaf_told(sent.encode(), self._own_id, cluster_id)
        answer, message = answered.leaf, said.leaf
        if (
            not isinstance(answer, Acknowledgement)
            or not isinstance(message, Message)
            or (answer.lane, answer.sequence) != (message.lane, message.sequence)
        ):
            raise ProofError("answer: it does not acknowledge the message that was sent")
        held = self.held(cluster_id)
        _check_certified(held.client, header, bundle)
        if answer.message_hash != message.hash:
            self.require_open(
                cluster_id, LeafName(False, message.lane.port, message.lane.mode, message.sequence)
            )
            raise ProofError("answer: it acknowledges another message than was sent")
        both = sent.of_genesis(self._own_genesis_body), bundle.of_genesis(held.genesis_body)
        return MessageFile(*both).encode(), header


def _check_certified(client: ClientState, header: Header, bundle: Bundle) -> None:
    """The bundle's header is certified by the set that we hold, or by one to which its links lead. Raises
    ProofError, and AskFailed where it cannot be told here whether it is: nobody waits for such an answer."""
    if header.incarnation > client.incarnation:
        held = f"held is incarnation {client.incarnation} of {client.name}"
        raise AskFailed("not-anchored", f"the answer is of incarnation {header.incarnation}, {held}")
    known = client.validators if header.epoch >= client.epoch else client.origin
    links = tuple(link for link in bundle.links if known.epoch <= link.ending.header.epoch < header.epoch)
    if len(links) < header.epoch - known.epoch:
        raise AskFailed(
            "not-anchored",
            f"the answer is of epoch {header.epoch}, held is {known.epoch}, and links are missing",
        )
    try:
        top = Certified(header, bundle.certificate)
        incarnation = client.incarnation
        follow_all(links, known, client.cluster_id, SignatureCache(), incarnation=incarnation, tops=(top,))
    except Refused as refused:
        raise ProofError(f"answer: {refused}") from refused


class ReadingsInThreads:
    """`Readings` for tasks."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._own = trio.CapacityLimiter(2)
        self._others = trio.CapacityLimiter(2)

    async def tell(self, cluster_id: bytes, asked: FactAsked, now_ms: int) -> bytes:
        """See `Readings.tell`."""
        return await trio.to_thread.run_sync(
            self._readings.tell, cluster_id, asked, now_ms, limiter=self._others
        )

    async def credential(self, public_key: bytes) -> bytes:
        """See `Readings.credential`."""
        return await trio.to_thread.run_sync(self._readings.credential, public_key, limiter=self._own)

    async def held(self, cluster_id: bytes) -> HeldProof:
        """See `Readings.held`."""
        return await trio.to_thread.run_sync(self._readings.held, cluster_id, limiter=self._own)

    async def check_state(self, cluster_id: bytes, key: bytes, data: bytes) -> tuple[Bundle, Header]:
        """See `Readings.check_state`."""
        return await trio.to_thread.run_sync(
            self._readings.check_state, cluster_id, key, data, limiter=self._own
        )

    async def sent(self, cluster_id: bytes, name: LeafName) -> Bundle:
        """See `Readings.sent`."""
        return await trio.to_thread.run_sync(self._readings.sent, cluster_id, name, limiter=self._own)

    async def require_open(self, cluster_id: bytes, name: LeafName) -> None:
        """See `Readings.require_open`."""
        await trio.to_thread.run_sync(self._readings.require_open, cluster_id, name, limiter=self._own)

    async def check_answered(self, cluster_id: bytes, sent: Bundle, data: bytes) -> tuple[bytes, Header]:
        """See `Readings.check_answered`."""
        return await trio.to_thread.run_sync(
            self._readings.check_answered, cluster_id, sent, data, limiter=self._own
        )
