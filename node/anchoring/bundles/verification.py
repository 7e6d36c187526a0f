"""Checking a bundle with nothing but a genesis hash: each step in order, and what no step can check.

Trust flows one way: the pinned hash makes the genesis believed, the genesis its validators, their
certificate a header, the header's roots everything else. The first step that fails raises ProofError
with the step's name and both values. What stays open is part of the answer (F9): a verdict that hides
its limits would be read as more than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus import Digest, SignatureCache, ValidatorSet
from node.anchoring.bundles.bundle import Bundle, BundleKind
from node.anchoring.bundles.facts import Fact, check_statement, step
from node.anchoring.cluster.anchors import Point
from node.anchoring.cluster.certified import Certified, check_origin
from node.anchoring.cluster.epochs import EpochLink, LinksFile, follow_all
from node.anchoring.cluster.identity import ClusterIdentity, cluster_id_of
from node.anchoring.forks.evidence import EvidenceFile, Verdict, judge
from node.anchoring.forks.incarnations import Footing, RecoveryFile, footing_of
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
    recoveries: Sequence[bytes] = (),
) -> Verified:
    """Check the bundle in `data` against the pinned genesis hash `trust` (32 bytes).

    `checkpoint` pins another header (height, 32-byte hash) as well: the bundle must name it in its history.
    Only where the pinned header is the fact's own or the certified one does the fact rest on its hash; a
    forger with leaked keys knows old hashes, too, and would name them, so elsewhere the keys stay open.
    `not_before_ms` refuses facts of headers older than that cluster time. `links` is a links file, for
    bundles that have none of their own. `evidence` are evidence files of this cluster: a bundle certified by
    a set that provably signed two histories, or by a later one, is refused unless the fact rests on the
    pinned header. `recoveries` are the recovery files that lead to the incarnation that certified, in order.
    Raises ProofError, which opens with the name of the step that failed.
    """
    with step("format"):
        bundle = Bundle.decode(data)
    identity = _check_genesis(bundle.genesis_body, trust, "bundle")
    cache = SignatureCache()
    footing, facts = _check_recoveries(recoveries, identity, cache)
    header, certified, sentences = _check_headers(bundle, footing, links, cache)
    facts += sentences
    facts += _check_checkpoint(bundle, header, certified, checkpoint)
    is_pinned = checkpoint is not None and checkpoint[0] in (header.height, certified.height)
    facts += _check_evidence(evidence, footing, certified, is_pinned, cache)
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
        _not_checked(bundle.kind, header, certified, is_pinned=is_pinned, is_recovered=bool(recoveries)),
    )


def check_evidence(
    data: bytes, trust: bytes, recoveries: Sequence[bytes] = ()
) -> tuple[ClusterIdentity, EvidenceFile, Verdict]:
    """Judge an evidence file against the pinned genesis hash and the recoveries that lead to its incarnation.

    Raises ProofError, opened by the step.
    """
    with step("format"):
        file = EvidenceFile.decode(data)
    identity = _check_genesis(file.genesis_body, trust, "file")
    cache = SignatureCache()
    footing, _ = _check_recoveries(recoveries, identity, cache)
    with step("evidence"):
        return identity, file, judge(file.evidence, footing.ground, cache)


def _check_genesis(body: bytes, trust: bytes, what: str) -> ClusterIdentity:
    cluster_id = cluster_id_of(body)
    if cluster_id != trust:
        raise ProofError(
            f"genesis: the {what}'s genesis has the hash {cluster_id.hex()}, pinned is {trust.hex()}"
        )
    with step("genesis"):
        return ClusterIdentity.from_body(body)


def _check_recoveries(
    files: Sequence[bytes], identity: ClusterIdentity, cache: SignatureCache
) -> tuple[Footing, list[str]]:
    """What the last incarnation begins with, and a sentence for each recovery."""
    with step("recovery"):
        read = [RecoveryFile.decode(data) for data in files]
        footing = footing_of(identity, read, cache)
    sentences = []
    for file in read:
        signed_by = file.recovery.by.name.lower()
        base = file.recovery.base.header.height
        sentences.append(
            f"Incarnation {file.recovery.incarnation} begins above header {base} by a recovery that the "
            f"{signed_by} signed."
        )
    return footing, sentences


def _check_headers(
    bundle: Bundle, footing: Footing, links_file: bytes | None, cache: SignatureCache
) -> tuple[Header, Header, list[str]]:
    """The fact's header and the certified one (the same, or a later one), and the sentences about them."""
    later = bundle.certified_later
    with step("header"):
        header = Header.decode(bundle.header)
    certified, name = header, "header"
    if later is not None:
        name = "certified header"
        with step(name):
            certified = Header.decode(later.header)
    with step(name):
        _check_incarnation(certified, footing)
    links = _links_for(bundle, footing, links_file)
    needed = certified.epoch - footing.origin.epoch
    if not 0 <= needed <= len(links):
        raise ProofError(
            f"{name}: header {certified.height} is of epoch {certified.epoch}, the links that were "
            f"given lead from epoch {footing.origin.epoch} to epoch {footing.origin.epoch + len(links)}"
        )
    if bundle.links and len(links) > needed:
        raise ProofError(f"epoch links: {len(links)} links for a certificate of epoch {certified.epoch}")
    links = links[:needed]
    with step("epoch links"):
        sets = follow_all(
            links,
            footing.origin,
            footing.cluster_id,
            cache,
            incarnation=footing.incarnation,
            above=footing.base_height,
        )
    with step("header"):
        _check_place(header, certified, footing, links, sets)
    if later is not None:
        with step(name):
            _check_place(certified, certified, footing, links, sets)
    with step("certificate"):
        whole = Certified(certified, bundle.certificate)
        whole.check(footing.cluster_id, footing.incarnation, sets[-1], cache)
    facts = []
    if links:
        begins = "genesis" if footing.incarnation == 0 else "recovery"
        facts.append(
            f"The validators of epoch {certified.epoch} follow from the {begins} by {needed} epoch links."
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


def _check_incarnation(certified: Header, footing: Footing) -> None:
    if certified.cluster_id != footing.cluster_id:
        raise ProofError(
            f"header {certified.height} is of cluster {certified.cluster_id.hex()}, "
            f"expected {footing.cluster_id.hex()}"
        )
    if certified.incarnation != footing.incarnation:
        raise ProofError(
            f"header {certified.height} is of incarnation {certified.incarnation}, the recoveries that were "
            f"given lead to {footing.incarnation}"
        )


def _links_for(bundle: Bundle, footing: Footing, links_file: bytes | None) -> tuple[EpochLink, ...]:
    """The bundle's own links, else those of the file that the reader has."""
    if links_file is None:
        return bundle.links
    with step("links file"):
        given = LinksFile.decode(links_file)
        if given.cluster_id != footing.cluster_id:
            raise ProofError(
                f"it is of cluster {given.cluster_id.hex()}, expected {footing.cluster_id.hex()}"
            )
    return bundle.links or given.links


def _check_place(
    header: Header,
    certified: Header,
    footing: Footing,
    links: Sequence[EpochLink],
    sets: Sequence[ValidatorSet],
) -> None:
    """The header is of its epoch's set and lies inside its epoch: above the end of the one before, not above
    its own end. One of an earlier incarnation lies at or below the base, and its place in the history of the
    certified header is all that vouches for it."""
    if header.incarnation < footing.incarnation:
        if header.height > footing.base_height:
            raise ProofError(
                f"header {header.height} is of incarnation {header.incarnation}, which ended at header "
                f"{footing.base_height} or before"
            )
        if header.cluster_id != footing.cluster_id:
            raise ProofError(f"header {header.height} is of cluster {header.cluster_id.hex()}")
        return
    first = footing.origin.epoch
    if not first <= header.epoch <= certified.epoch:
        raise ProofError(
            f"header {header.height} is of epoch {header.epoch}, certified is epoch {certified.epoch} of an "
            f"incarnation that begins in epoch {first}"
        )
    check_origin(header, footing.cluster_id, footing.incarnation, sets[header.epoch - first])
    ends = [footing.base_height, *(link.ending.header.height for link in links)]
    if header.height <= ends[header.epoch - first]:
        raise ProofError(f"header {header.height} lies before its epoch {header.epoch} began")
    if header.epoch < certified.epoch and header.height > ends[header.epoch - first + 1]:
        raise ProofError(f"header {header.height} lies behind the end of its epoch {header.epoch}")


def _check_history(height: int, header_hash: bytes, certified: Header, path: tuple[bytes, ...]) -> None:
    """Index and size are heights of certified headers (F2), never numbers that the bundle claims."""
    if height >= certified.height:
        raise ProofError(f"height {height} is not in the history of header {certified.height}")
    Point.of(certified).check_holds(height, header_hash, path)


def _check_evidence(
    files: Sequence[bytes],
    footing: Footing,
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
            if accused_id != footing.cluster_id:
                raise ProofError(
                    f"it accuses cluster {accused_id.hex()}, the bundle is of {footing.cluster_id.hex()}"
                )
            verdict = judge(file.evidence, footing.ground, cache)
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


def _not_checked(
    kind: BundleKind, header: Header, certified: Header, *, is_pinned: bool, is_recovered: bool
) -> tuple[str, ...]:
    after = f"after height {header.height} (time {header.time_ms} ms)"
    changed = {
        BundleKind.TRANSACTION: f"Revocation: whether another transaction superseded this one {after}.",
        BundleKind.STATE: f"Revocation: whether this entry was written, superseded or revoked {after}.",
        BundleKind.HEADER: f"Revocation: whether anything that this header proves was superseded {after}.",
        BundleKind.OUTBOX: f"Revocation: whether a recovery dropped the branch of this header {after}.",
    }
    recovery: tuple[str, ...] = ()
    if is_recovered:
        recovery = (
            "Recovery: whether the other clusters approved the recoveries that were given, whether another "
            "one replaced them, and whether evidence was withheld against those who signed or follow.",
        )
    sentences = (
        *recovery,
        f"Freshness: whether the cluster has gone on {after}; only a node or another cluster can tell.",
        f"Forks: whether the validators also certified another history up to height {certified.height} "
        "of which this verifier was given no evidence.",
        changed[kind],
        "Execution: whether what was certified, times included, follows by the cluster's own rules; a "
        "quorum of its validators says so, and nothing here executes it again.",
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
