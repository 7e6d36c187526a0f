"""Bundles: two verifiers agree on what holds, every damage is refused by name, and limits are told."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, Digest, Value, digest, encode
from node.anchoring import (
    Bundle,
    BundleKind,
    CheckpointProof,
    ClusterIdentity,
    HeaderStatement,
    StateFact,
    TransactionFact,
    TransactionStatement,
    Verified,
    cluster_id_of,
    verify,
)
from node.ledger.receipts import NO_WRITES, Receipt
from node.ledger.transactions import Transaction
from node.proofs import ProofError
from node.proofs.header import Header
from node.proofs.rfc6962 import leaf_hash, root
from tests.node.anchoring import independent_verifier
from tests.node.anchoring.bundle_vectors import HEADER, from_json, opened, replaced
from tests.node.anchoring.chain import certificate, genesis, put
from tests.node.proofs.vector_files import load

KNOWN = load("bundle_known")
TRUST = bytes.fromhex(KNOWN["trust"])
FILES = {case["name"]: bytes.fromhex(case["bundle"]) for case in KNOWN["bundles"]}
CASES = {case["name"]: case for case in KNOWN["bundles"]}
DAMAGED = load("bundle_damaged")


def checked(name: str, **pins: Any) -> Verified:
    return verify(FILES[name], trust=TRUST, **pins)


def is_refused_independently(data: bytes) -> bool:
    try:
        independent_verifier.verify(data, TRUST)
    except independent_verifier.Refused:
        return True
    return False


def header_hash(height: int) -> bytes:
    (found,) = {case["header_hash"] for case in KNOWN["bundles"] if case["height"] == height}
    return bytes.fromhex(found)


# --- what holds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_both_verifiers_accept_every_known_bundle_and_read_the_same_from_it(name: str) -> None:
    verified = checked(name)
    kind, height, proven = independent_verifier.verify(FILES[name], TRUST)
    assert (kind, height) == (verified.kind, verified.height)
    match verified.fact:
        case TransactionFact(tx_id=tx_id, status=status):
            assert proven == (tx_id, status)
        case StateFact(key, value):
            assert proven == (key, value)
        case _:
            assert proven is None
    assert verified.time_ms == CASES[name]["time_ms"]
    assert verified.header.hash.hex() == CASES[name]["header_hash"]
    assert (verified.cluster_name, verified.cluster_id, verified.epoch) == ("harbour", TRUST, 0)


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_is_read_and_written_back_byte_for_byte(name: str) -> None:
    assert Bundle.decode(FILES[name]).encode() == FILES[name]


def test_a_transaction_bundle_gives_the_ledger_its_bytes_and_the_outcome() -> None:
    verified = checked("transaction-failed")
    assert verified.kind is BundleKind.TRANSACTION
    fact = verified.fact
    assert isinstance(fact, TransactionFact)
    transaction, receipt = Transaction.decode(fact.transaction), Receipt.decode(fact.receipt)
    assert (fact.tx_id, fact.sender) == (transaction.id, transaction.sender)
    assert (fact.status, fact.index) == (receipt.status, receipt.index)
    assert not receipt.ok
    assert "FAILED" in verified.facts[-1]


def test_a_state_bundle_tells_a_value_from_its_absence() -> None:
    present, absent = checked("state-present").fact, checked("state-absent").fact
    assert isinstance(present, StateFact)
    assert isinstance(absent, StateFact)
    assert present.value is not None
    assert absent.value is None


def test_the_genesis_is_read_here_as_the_node_reads_it() -> None:
    cluster = genesis()
    identity = ClusterIdentity.from_body(cluster.body)
    assert cluster_id_of(cluster.body) == identity.cluster_id == cluster.cluster_id
    assert (identity.name, identity.validators) == (cluster.name, cluster.validator_set())


def test_a_genesis_of_unknown_applications_and_policies_can_still_be_trusted() -> None:
    value = opened(genesis().body)
    newer = encode((*value[:2], (1, ("weather",)), value[3], (), (("weather.tell", (7,)),), value[6]))
    assert ClusterIdentity.from_body(newer).validators == genesis().validator_set()


# --- what does not -----------------------------------------------------------------------------------


@pytest.mark.parametrize("of", sorted({case["of"] for case in DAMAGED}))
def test_every_damaged_bundle_is_refused_by_both_verifiers_at_the_step_that_it_damages(of: str) -> None:
    cases = [case for case in DAMAGED if case["of"] == of]
    for case in cases:
        data = encode(replaced(opened(FILES[of]), case["at"], from_json(case["value"])))
        with pytest.raises(ProofError) as caught:
            verify(data, trust=TRUST)
        assert str(caught.value).startswith(case["refused"] + ": "), case["name"]
        assert is_refused_independently(data), case["name"]


def test_the_damages_reach_every_step_and_every_field_of_a_header() -> None:
    steps = {case["refused"] for case in DAMAGED}
    assert steps == {
        "format",
        "genesis",
        "header",
        "certified header",
        "certificate",
        "history path",
        "checkpoint path",
        "transaction",
        "transaction path",
        "receipt path",
        "receipt",
        "state proof",
    }
    for field in HEADER:
        assert {
            prefix
            for prefix in ("header.", "certified-header.")
            for case in DAMAGED
            if case["name"].startswith(prefix + field)
        } == {"header.", "certified-header."}


@given(name=st.sampled_from(sorted(FILES)), place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_no_flipped_bit_changes_what_a_bundle_says(name: str, place: int, bit: int) -> None:
    data = bytearray(FILES[name])
    data[place % len(data)] ^= 1 << bit
    try:
        verified = verify(bytes(data), trust=TRUST)
    except ProofError:
        return
    # Only the size of a list is not bound by its paths, and it is no part of any fact.
    assert verified == checked(name)


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(ProofError, match=r"^format: "):
        verify(data, trust=TRUST)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_or_extended_file_is_refused(name: str) -> None:
    data = FILES[name]
    for wrong in (data[:-1], data + b"\xc0", data[: len(data) // 2], b""):
        with pytest.raises(ProofError, match=r"^format: "):
            verify(wrong, trust=TRUST)
        assert is_refused_independently(wrong)


def test_a_number_in_a_longer_encoding_is_refused() -> None:
    data = FILES["header"]
    kind_at = data.index(b"isthmus-bundle/1") + 16
    assert data[kind_at] == 3
    with pytest.raises(ProofError, match="canonical"):
        verify(data[:kind_at] + b"\xcc\x03" + data[kind_at + 1 :], trust=TRUST)


def test_a_true_bundle_of_another_cluster_is_refused_and_both_hashes_are_named() -> None:
    other = genesis("elsewhere").cluster_id
    with pytest.raises(ProofError, match=f"^genesis: .*{TRUST.hex()}.*{other.hex()}"):
        verify(FILES["header"], trust=other)


@pytest.mark.parametrize("trust", [b"", TRUST[:31], TRUST + b"\x00"])
def test_a_trust_of_another_length_trusts_nothing(trust: bytes) -> None:
    with pytest.raises(ProofError, match=r"^genesis: "):
        verify(FILES["header"], trust=trust)


def test_oversized_parts_are_refused_before_anything_is_hashed() -> None:
    bundle = Bundle.decode(FILES["transaction"])
    statement = bundle.statement
    assert isinstance(statement, TransactionStatement)
    for wrong in (
        replace(bundle, statement=replace(statement, transaction=bytes(1024 * 1024 + 1))),
        replace(bundle, statement=replace(statement, receipt=bytes(16 * 1024 + 1))),
        replace(bundle, statement=replace(statement, receipt_path=(bytes(32),) * 65)),
        replace(bundle, header=bytes(513)),
        replace(bundle, genesis_body=bytes(8 * 1024 * 1024 + 1)),
        replace(bundle, genesis_body=bytes(10 * 1024 * 1024)),
    ):
        with pytest.raises(CodecError, match=r"at most|exceed"):
            Bundle.decode(wrong.encode())


# --- receipts that a corrupt quorum certified ---------------------------------------------------------


def certified_pair(transaction: Transaction, receipt: bytes) -> bytes:
    """A bundle whose header really holds these two as its only leaves."""
    cluster = genesis()
    first = cluster.genesis_header()
    header = Header.make(
        incarnation=0,
        cluster_id=cluster.cluster_id,
        epoch=0,
        height=1,
        parent_hash=first.hash,
        block_id=digest("test/block"),
        time_ms=first.time_ms + 1,
        tx_root=root([leaf_hash(transaction.encoded)]),
        receipt_root=root([leaf_hash(receipt)]),
        state_root=first.state_root,
        history_root=root([leaf_hash(first.hash)]),
        validators_hash=first.validators_hash,
    )
    statement = TransactionStatement(transaction.encoded, receipt, 0, 1, (), ())
    return Bundle(cluster.body, header.encoded, certificate(header), None, None, statement).encode()


def test_a_receipt_must_speak_of_the_transaction_height_and_index_that_were_proven() -> None:
    transaction = put(genesis(), 1, "a")
    good = Receipt.make(transaction.id, 1, 0, 0, 1, NO_WRITES).encoded
    assert verify(certified_pair(transaction, good), trust=TRUST).height == 1
    other: Value = put(genesis(), 2, "a").id
    wrong: list[tuple[str, int, Value]] = [
        ("version", 0, 2),
        ("transaction", 1, other),
        ("height", 2, 2),
        ("index", 3, 1),
        ("status", 4, -1),
    ]
    for what, place, value in wrong:
        data = certified_pair(transaction, replaced(good, (place,), value))
        with pytest.raises(ProofError, match=f"^receipt: .*{what}"):
            verify(data, trust=TRUST)
    for data in (b"\x90", encode((1, transaction.id)), b"\xc1"):
        with pytest.raises(ProofError, match=r"^receipt: "):
            verify(certified_pair(transaction, data), trust=TRUST)


def test_a_transaction_signed_for_another_cluster_is_refused_even_when_certified() -> None:
    abroad = put(genesis("elsewhere"), 1, "a")
    receipt = Receipt.make(abroad.id, 1, 0, 0, 1, NO_WRITES).encoded
    with pytest.raises(ProofError, match=r"^transaction: .*signed for cluster"):
        verify(certified_pair(abroad, receipt), trust=TRUST)


# --- what the reader pins, and what stays open --------------------------------------------------------


def test_a_checkpoint_is_met_at_the_certified_header_at_the_fact_or_by_its_own_path() -> None:
    assert "rests" in checked("header", checkpoint=(5, header_hash(5))).facts[-2]
    pinned = Bundle.decode(FILES["header-with-checkpoint"]).checkpoint
    assert pinned is not None
    assert "names" in checked("header-with-checkpoint", checkpoint=(4, pinned.header_hash)).facts[-2]
    assert "rests" in checked("header-with-checkpoint", checkpoint=(1, header_hash(1))).facts[-2]
    assert "rests" in checked("header-with-checkpoint", checkpoint=(5, header_hash(5))).facts[-2]


@pytest.mark.parametrize("height", [1, 4, 5])
def test_a_checkpoint_of_another_history_is_refused(height: int) -> None:
    with pytest.raises(ProofError, match=f"^checkpoint: header {height} .*{'00' * 32}"):
        checked("header-with-checkpoint", checkpoint=(height, bytes(32)))


@pytest.mark.parametrize("height", [2, 6, 1_000_000])
def test_a_checkpoint_that_the_bundle_does_not_reach_is_refused_with_the_way_out(height: int) -> None:
    with pytest.raises(ProofError, match=f"^checkpoint: .*1, 4, 5.*{height}; export it again"):
        checked("header-with-checkpoint", checkpoint=(height, header_hash(5)))


def test_a_checkpoint_claimed_for_the_certified_height_itself_has_no_place_in_its_history() -> None:
    value = replaced(opened(FILES["header-with-checkpoint"]), (8,), (5, header_hash(5), ()))
    with pytest.raises(ProofError, match=r"^checkpoint path: "):
        verify(encode(value), trust=TRUST)


def test_a_checkpoint_claimed_for_the_facts_own_height_must_be_the_fact() -> None:
    bundle = Bundle.decode(FILES["header-with-checkpoint"])
    later = bundle.certified_later
    assert later is not None
    value = replaced(opened(FILES["header-with-checkpoint"]), (8,), (1, header_hash(1), later.history_path))
    assert verify(encode(value), trust=TRUST).height == 1
    other = replaced(value, (8, 1), header_hash(5))
    with pytest.raises(ProofError, match=r"^checkpoint path: "):
        verify(encode(other), trust=TRUST)


def test_facts_of_old_headers_are_refused_when_fresher_ones_are_asked_for() -> None:
    time_ms = CASES["header"]["time_ms"]
    assert "not older" in checked("header", not_before_ms=time_ms).facts[-2]
    with pytest.raises(ProofError, match=f"^not-before: .*{time_ms} ms.*{time_ms + 1} ms"):
        checked("header", not_before_ms=time_ms + 1)


def test_freshness_is_judged_by_the_header_of_the_fact_and_not_by_the_later_one_that_proves_it() -> None:
    time_ms = CASES["header-with-checkpoint"]["time_ms"]
    with pytest.raises(ProofError, match=r"^not-before: "):
        checked("header-with-checkpoint", not_before_ms=time_ms + 1)


@pytest.mark.parametrize("name", FILES)
def test_every_verdict_names_what_it_did_not_check(name: str) -> None:
    topics = [sentence.split(":")[0] for sentence in checked(name).not_checked]
    assert topics == ["Freshness", "Forks", "Revocation", "Execution", "Keys"]


@pytest.mark.parametrize(("height", "is_settled"), [(1, True), (4, False), (5, True)])
def test_leaked_keys_are_settled_only_where_the_fact_rests_on_the_pinned_hash(
    height: int, is_settled: bool
) -> None:
    bundle = Bundle.decode(FILES["header-with-checkpoint"])
    assert bundle.checkpoint is not None
    pinned = bundle.checkpoint.header_hash if height == 4 else header_hash(height)
    topics = [
        sentence.split(":")[0]
        for sentence in checked("header-with-checkpoint", checkpoint=(height, pinned)).not_checked
    ]
    assert topics == ["Freshness", "Forks", "Revocation", "Execution"] + ([] if is_settled else ["Keys"])


def test_a_forger_with_all_keys_can_name_an_old_checkpoint_but_cannot_settle_the_keys() -> None:
    cluster = genesis()
    first = cluster.genesis_header()
    leaves = [leaf_hash(first.hash), leaf_hash(header_hash(1))]
    fields = {name: getattr(first, name) for name in HEADER[1:]}
    changed = {"height": 2, "history_root": root(leaves), "time_ms": first.time_ms + 9}
    forged = Header.make(**(fields | changed))
    proof = CheckpointProof(1, Digest(header_hash(1)), (leaves[0],))
    bundle = Bundle(cluster.body, forged.encoded, certificate(forged), None, proof, HeaderStatement())
    verified = verify(bundle.encode(), trust=TRUST, checkpoint=(1, header_hash(1)))
    assert verified.not_checked[-1].startswith("Keys: ")


def test_a_header_bundle_without_payload_is_the_smallest() -> None:
    bundle = Bundle.decode(FILES["header"])
    assert bundle.statement == HeaderStatement()
    without_genesis = len(FILES["header"]) - len(bundle.genesis_body)
    assert without_genesis < 800
    assert isinstance(bundle.certificate.header_hash, bytes)
    assert bundle.certificate.header_hash == Digest(header_hash(5))
