"""Checking a bundle with nothing but a genesis hash: each step in order, and what no step can check.

Trust flows one way: the pinned hash makes the genesis believed, the genesis its validators, their
certificate a header, the header's roots everything else. The first step that fails raises ProofError
with the step's name and both values. What stays open is part of the answer (F9): a verdict that hides
its limits would be read as more than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus import Digest, SignatureCache
from node.anchoring.anchors import Point
from node.anchoring.bundle import Bundle, BundleKind
from node.anchoring.certified import Certified, check_origin
from node.anchoring.epochs import EpochLink, LinksFile, follow_all
from node.anchoring.evidence import EvidenceFile, Ground, Verdict, judge
from node.anchoring.facts import Fact, check_statement, step
from node.anchoring.identity import ClusterIdentity, cluster_id_of
from node.proofs import ProofError
from node.proofs.header import Header


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle proved. `header` is the one the fact is about; `time_ms` its cluster time.

    `facts` are the sentences that were checked, in order; `not_checked` those that no bundle can settle.
    """

    kind: BundleKind
    cluster_name: str
    cluster_id: Digest
    epoch: int
    height: int
    time_ms: int
    header: Header
    fact: Fact
    facts: tuple[str, ...]
    not_checked: tuple[str, ...]


def verify(
    data: bytes,
    *,
    trust: bytes,
    checkpoint: tuple[int, bytes] | None = None,
    not_before_ms: int | None = None,
    links: bytes | None = None,
    evidence: Sequence[bytes] = (),
) -> Verified:
    """Check the bundle in `data` against the pinned genesis hash `trust` (32 bytes).

    `checkpoint` pins another header (height, 32-byte hash) as well: the bundle must name it in its history.
    Only where the pinned header is the fact's own or the certified one does the fact rest on its hash; a
    forger with leaked keys knows old hashes, too, and would name them, so elsewhere the keys stay open.
    `not_before_ms` refuses facts of headers older than that cluster time. `links` is a links file, for
    bundles that have none of their own. `evidence` are evidence files of this cluster: a bundle certified by
    a set that provably signed two histories, or by a later one, is refused unless the fact rests on the
    pinned header. Raises ProofError, which opens with the name of the step that failed.
    """
    with step("format"):
        bundle = Bundle.decode(data)
    identity = _check_genesis(bundle.genesis_body, trust)
    cache = SignatureCache()
    header, certified, facts = _check_headers(bundle, identity, links, cache)
    facts += _check_checkpoint(bundle, header, certified, checkpoint)
    is_pinned = checkpoint is not None and checkpoint[0] in (header.height, certified.height)
    facts += _check_evidence(evidence, identity, certified, is_pinned, cache)
    if not_before_ms is not None:
        if header.time_ms < not_before_ms:
            raise ProofError(
                f"not-before: header {header.height} is of {header.time_ms} ms, "
                f"the fact must not be older than {not_before_ms} ms"
            )
        facts.append(f"Header {header.height} is not older than {not_before_ms} ms.")
    fact, sentence = check_statement(bundle.statement, header)
    facts.append(sentence)
    return Verified(
        bundle.kind,
        identity.name,
        identity.cluster_id,
        header.epoch,
        header.height,
        header.time_ms,
        header,
        fact,
        (f"The genesis is that of cluster {identity.name!r}, whose hash is pinned: {trust.hex()}.", *facts),
        _not_checked(bundle.kind, header, certified, is_pinned=is_pinned),
    )


def check_evidence(data: bytes, trust: bytes) -> tuple[ClusterIdentity, EvidenceFile, Verdict]:
    """Judge an evidence file against the pinned genesis hash alone. Raises ProofError, opened by the step."""
    with step("format"):
        file = EvidenceFile.decode(data)
    identity = _check_genesis(file.genesis_body, trust)
    with step("evidence"):
        return identity, file, judge(file.evidence, Ground.of_genesis(identity), SignatureCache())


def _check_genesis(body: bytes, trust: bytes) -> ClusterIdentity:
    cluster_id = cluster_id_of(body)
    if cluster_id != trust:
        raise ProofError(
            f"genesis: the file's genesis has the hash {cluster_id.hex()}, pinned is {trust.hex()}"
        )
    with step("genesis"):
        return ClusterIdentity.from_body(body)


def _check_headers(
    bundle: Bundle, identity: ClusterIdentity, links_file: bytes | None, cache: SignatureCache
) -> tuple[Header, Header, list[str]]:
    """The fact's header and the certified one (the same, or a later one), and the sentences about them."""
    later = bundle.certified_later
    with step("header"):
        header = Header.decode(bundle.header)
    certified = header
    if later is not None:
        with step("certified header"):
            certified = Header.decode(later.header)
    named = [("header", header)] + ([("certified header", certified)] if later is not None else [])
    links = _links_for(bundle, identity, links_file)
    if len(links) < certified.epoch:
        raise ProofError(
            f"{named[-1][0]}: header {certified.height} is of epoch {certified.epoch}, the links that were "
            f"given reach epoch {len(links)}"
        )
    if bundle.links and len(links) > certified.epoch:
        raise ProofError(f"epoch links: {len(links)} links for a certificate of epoch {certified.epoch}")
    links = links[: certified.epoch]
    with step("epoch links"):
        sets = follow_all(links, identity.validators, identity.cluster_id, cache)
    for name, each in named:
        with step(name):
            if each.epoch > certified.epoch:
                raise ProofError(f"header {each.height} is of epoch {each.epoch}, certified later is none")
            check_origin(each, identity.cluster_id, 0, sets[each.epoch])
            _check_inside_epoch(each, links)
    with step("certificate"):
        Certified(certified, bundle.certificate).check(identity.cluster_id, 0, sets[certified.epoch], cache)
    facts = []
    if links:
        facts.append(
            f"The validators of epoch {certified.epoch} follow from the genesis by {len(links)} epoch links."
        )
    signers = sum(byte.bit_count() for byte in bundle.certificate.signers)
    facts.append(
        f"{_named(certified)} is certified by {signers} of {len(sets[-1])} validators, "
        "a quorum of the weight."
    )
    if later is not None:
        with step("history path"):
            _check_history(header.height, header.hash, certified, later.history_path)
        facts.append(f"{_named(header)} is in the history of header {certified.height}.")
    return header, certified, facts


def _links_for(bundle: Bundle, identity: ClusterIdentity, links_file: bytes | None) -> tuple[EpochLink, ...]:
    """The bundle's own links, else those of the file that the reader has."""
    if links_file is None:
        return bundle.links
    with step("links file"):
        given = LinksFile.decode(links_file)
        if given.cluster_id != identity.cluster_id:
            raise ProofError(
                f"it is of cluster {given.cluster_id.hex()}, expected {identity.cluster_id.hex()}"
            )
    return bundle.links or given.links


def _check_inside_epoch(header: Header, links: Sequence[EpochLink]) -> None:
    """The header lies above the end of the epoch before, and not above the end of its own."""
    if header.epoch > 0 and header.height <= links[header.epoch - 1].ending.header.height:
        raise ProofError(f"header {header.height} lies before its epoch {header.epoch} began")
    if header.epoch < len(links) and header.height > links[header.epoch].ending.header.height:
        raise ProofError(f"header {header.height} lies behind the end of its epoch {header.epoch}")


def _check_history(height: int, header_hash: bytes, certified: Header, path: tuple[bytes, ...]) -> None:
    """Index and size are heights of certified headers (F2), never numbers that the bundle claims."""
    if height >= certified.height:
        raise ProofError(f"height {height} is not in the history of header {certified.height}")
    Point.of(certified).check_holds(height, header_hash, path)


def _check_evidence(
    files: Sequence[bytes],
    identity: ClusterIdentity,
    certified: Header,
    is_pinned: bool,
    cache: SignatureCache,
) -> list[str]:
    """A set that signed two histories, and every set it named, vouches for nothing (F5, F9)."""
    facts = []
    for data in files:
        with step("evidence"):
            file = EvidenceFile.decode(data)
            accused_id = cluster_id_of(file.genesis_body)
            if accused_id != identity.cluster_id:
                raise ProofError(
                    f"it accuses cluster {accused_id.hex()}, the bundle is of {identity.cluster_id.hex()}"
                )
            verdict = judge(file.evidence, Ground.of_genesis(identity), cache)
            told = (
                f"validators with {verdict.weight} of {verdict.total_weight} weight in epoch {verdict.epoch}"
            )
            if certified.epoch >= verdict.epoch and not is_pinned:
                raise ProofError(
                    f"{told} signed two histories at height {verdict.index}, and header {certified.height} "
                    f"rests on epoch {certified.epoch}; pin a checkpoint of the true history"
                )
        rests = "rests on the pinned header" if is_pinned else f"rests on epoch {certified.epoch}"
        facts.append(f"The evidence is true: {told} signed two histories; the fact {rests}.")
    return facts


def _check_checkpoint(
    bundle: Bundle, header: Header, certified: Header, pinned: tuple[int, bytes] | None
) -> list[str]:
    """A connection that the bundle claims always holds; one that the reader pinned must be there."""
    hashes = {certified.height: certified.hash, header.height: header.hash}
    proof = bundle.checkpoint
    if proof is not None:
        with step("checkpoint path"):
            _check_history(proof.height, proof.header_hash, certified, proof.history_path)
        hashes[proof.height] = proof.header_hash
    if pinned is None:
        return []
    height, expected = pinned
    held = hashes.get(height)
    if held is None:
        raise ProofError(
            f"checkpoint: the bundle connects the heights {', '.join(map(str, sorted(hashes)))}, pinned is "
            f"{height}; export it again with this checkpoint"
        )
    if held != expected:
        raise ProofError(f"checkpoint: header {height} has the hash {held.hex()}, pinned is {expected.hex()}")
    if height in (header.height, certified.height):
        return [f"Header {height} is the pinned checkpoint, on whose hash the fact rests."]
    return [
        f"The pinned checkpoint, header {height}, is in the history that header {certified.height} names."
    ]


def _not_checked(kind: BundleKind, header: Header, certified: Header, *, is_pinned: bool) -> tuple[str, ...]:
    after = f"after height {header.height} (time {header.time_ms} ms)"
    changed = {
        BundleKind.TRANSACTION: f"Revocation: whether another transaction superseded this one {after}.",
        BundleKind.STATE: f"Revocation: whether this entry was written, superseded or revoked {after}.",
        BundleKind.HEADER: f"Revocation: whether anything that this header proves was superseded {after}.",
    }
    sentences = (
        f"Freshness: whether the cluster has gone on {after}; only a node or another cluster can tell.",
        f"Forks: whether the validators also certified another history up to height {certified.height} "
        "of which this verifier was given no evidence.",
        changed[kind],
    )
    if is_pinned:
        return sentences
    keys = "the genesis keys"
    if certified.epoch:
        keys = f"the keys of the epochs 0 to {certified.epoch}"
    return (
        *sentences,
        f"Keys: the fact rests on {keys}, and retired keys that leaked could forge all of this; pin "
        f"a recent certified header at or above height {header.height} as checkpoint.",
    )


def _named(header: Header) -> str:
    return f"Header {header.height} ({header.hash.hex()}, epoch {header.epoch}, time {header.time_ms} ms)"
