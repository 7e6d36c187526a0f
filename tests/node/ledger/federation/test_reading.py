"""Members of one cluster read another: denied by default, told nothing of existence, proven where granted."""

from dataclasses import replace

import pytest

from consensus import PublicKey
from node.anchoring.answers import check_anchored, leaf_told, state_told
from node.anchoring.bundles.message import MessageFile, verify_message
from node.anchoring.bundles.verification import verify
from node.anchoring.client.lightclient import STALE_AFTER_MS
from node.anchoring.lanes.courier import LeafName
from node.anchoring.lanes.messages import Mode
from node.anchoring.questions import (
    LIFETIME_MS_MAX,
    CatalogueAsked,
    Credential,
    FactAsked,
    LeafAsked,
    MemberAsked,
    Page,
    PathAsked,
    Question,
    Refusal,
    StateAsked,
    Subject,
    decode_path,
)
from node.ledger.federation import reading
from node.ledger.federation.changes import RetireCluster, SetReaders
from node.ledger.federation.grants import Grant
from node.ledger.federation.reading import ReadRefused, credential, state_key_of, tell
from node.ledger.federation.records import client_of
from node.ledger.governance.changes import RemoveMember
from node.proofs import ProofError
from tests.node.ledger.federation.cluster import Cluster, federate, key_of

READ_ALL = Grant("records/", may_list=True)
MANIFEST = StateAsked("records/port/manifest")


class Reading:
    """alpha's alice asks beta, which holds `port/manifest`; both have anchored each other."""

    def __init__(self, *grants: Grant) -> None:
        self.a, self.b = Cluster("ports.alpha"), Cluster("ports.beta")
        federate(self.a, self.b)
        self.b.put("port/manifest")
        if grants:
            self.grant(*grants)
        self.anchor()

    def grant(self, *grants: Grant) -> None:
        assert self.b.govern(SetReaders(self.a.id, grants)).ok

    def anchor(self) -> None:
        """Both ledgers hold what the other said; alpha also holds the tip of beta."""
        self.b.share("port/manifest", self.a)
        assert self.a.pull(self.b) is not None
        assert self.b.pull(self.a) is not None
        assert self.a.pull(self.b) is not None

    def question(self, subject: Subject = MANIFEST, **changes: object) -> Question:
        asked = {
            "key": self.a.alice,
            "asking": self.a.id,
            "asked": self.b.id,
            "unique": bytes(16),
            "expires_at_ms": self.b.now_ms + 1_000,
            "subject": subject,
        }
        return Question.sign(**(asked | changes))  # type: ignore[arg-type]  # each test names real arguments

    def credential(self) -> bytes:
        shown = credential(self.a.reader, self.a.alice.public_key)
        assert shown is not None
        return shown

    def ask(self, subject: Subject = MANIFEST, **changes: object) -> bytes:
        return self.tell(MemberAsked(self.question(subject, **changes).encoded, self.credential()))

    def tell(self, asked: FactAsked) -> bytes:
        with self.b.store.snapshot() as snapshot:
            return tell(snapshot, self.a.id, asked, self.b.now_ms)

    def refusal(self, subject: Subject = MANIFEST, **changes: object) -> Refusal:
        with pytest.raises(ReadRefused) as refused:
            self.ask(subject, **changes)
        return refused.value.refusal


def test_nobody_reads_before_operators_grant_it() -> None:
    world = Reading()
    assert world.refusal() is Refusal.DENIED
    assert world.refusal(StateAsked("records/no/such")) is Refusal.DENIED
    assert world.refusal(CatalogueAsked("")) is Refusal.DENIED


def test_a_member_reads_a_record_at_the_anchored_root() -> None:
    world = Reading(READ_ALL)
    data = world.ask()
    bundle, header = state_told(data, world.b.id, state_key_of(MANIFEST.resource))
    client = client_of(world.a.state, world.b.id)
    assert client is not None
    check_anchored(client, header, ())
    whole = replace(bundle, genesis_body=world.b.genesis.body).encode()
    assert verify(whole, trust=world.b.id).height == header.height


def test_absence_is_proven_too() -> None:
    world = Reading(READ_ALL)
    key = state_key_of("records/no/such")
    bundle, _ = state_told(world.ask(StateAsked("records/no/such")), world.b.id, key)
    assert bundle.statement.value is None  # type: ignore[union-attr]  # a state statement, as state_told checked


def test_an_answer_about_another_key_is_refused() -> None:
    world = Reading(READ_ALL)
    with pytest.raises(ProofError, match="not about the key"):
        state_told(world.ask(StateAsked("records/no/such")), world.b.id, state_key_of(MANIFEST.resource))


def test_a_root_that_is_not_anchored_is_not_believed_until_it_is() -> None:
    world = Reading(READ_ALL)
    world.b.put("port/other")
    _, header = state_told(world.ask(), world.b.id, state_key_of(MANIFEST.resource))
    client = client_of(world.a.state, world.b.id)
    assert client is not None
    with pytest.raises(ProofError, match="above the anchored"):
        check_anchored(client, header, ())
    world.b.put("port/third")
    assert world.a.pull(world.b) is not None
    client = client_of(world.a.state, world.b.id)
    assert client is not None
    assert client.last.height > header.height
    path = decode_path(world.tell(PathAsked(header.height, client.last.height)))
    check_anchored(client, header, path)
    with pytest.raises(ProofError):
        check_anchored(client, header, path[:-1])


def test_a_path_above_what_is_stored_is_not_there() -> None:
    world = Reading()
    with pytest.raises(ReadRefused) as refused:
        world.tell(PathAsked(0, 10_000))
    assert refused.value.refusal is Refusal.UNAVAILABLE


@pytest.mark.parametrize(
    "grant",
    [
        Grant("records/other/"),
        Grant("records/", organisations=("harbour",)),
        Grant("records/", roles=("auditor",)),
        Grant("records/", keys=(PublicKey(bytes(32)),)),
    ],
    ids=["prefix", "organisation", "role", "key"],
)
def test_a_grant_for_somebody_or_something_else_denies(grant: Grant) -> None:
    assert Reading(grant).refusal() is Refusal.DENIED


def test_a_grant_that_fits_in_every_list_lets_in() -> None:
    alice = key_of("ports.alpha", "alice").public_key
    world = Reading(Grant("records/port/", False, ("acme",), ("client",), (alice,)))
    assert world.ask()
    assert world.refusal(CatalogueAsked("")) is Refusal.DENIED


def test_a_revoked_grant_lets_nobody_in() -> None:
    world = Reading(READ_ALL)
    world.grant()
    assert world.refusal() is Refusal.DENIED


def test_a_question_between_others_out_of_time_or_of_another_signer_is_refused() -> None:
    world = Reading(READ_ALL)
    assert world.refusal(asking=world.b.id, asked=world.a.id) is Refusal.MISDIRECTED
    assert world.refusal(expires_at_ms=world.b.now_ms) is Refusal.EXPIRED
    assert world.refusal(expires_at_ms=world.b.now_ms + LIFETIME_MS_MAX + 1) is Refusal.EXPIRED
    encoded = world.question().encoded
    forged = MemberAsked(encoded[:-1] + bytes((encoded[-1] ^ 1,)), world.credential())
    with pytest.raises(ReadRefused) as refused:
        world.tell(forged)
    assert refused.value.refusal is Refusal.SIGNATURE


def test_who_is_no_member_of_the_asking_cluster_is_refused() -> None:
    world = Reading(READ_ALL)
    assert world.refusal(key=key_of("nobody", "mallory")) is Refusal.NOT_A_MEMBER
    assert credential(world.a.reader, key_of("nobody", "mallory").public_key) is None


def test_a_removed_member_cannot_come_back_with_an_older_credential() -> None:
    world = Reading(READ_ALL)
    shown = world.credential()
    assert world.a.govern(RemoveMember(world.a.alice.public_key)).ok
    assert world.b.pull(world.a) is not None
    with pytest.raises(ReadRefused) as refused:
        world.tell(MemberAsked(world.question().encoded, shown))
    assert refused.value.refusal is Refusal.NOT_A_MEMBER


def test_a_credential_counts_before_its_header_is_anchored_if_validators_certified_it() -> None:
    world = Reading(READ_ALL)
    world.a.put("port/news")
    assert world.ask()
    shown = Credential.decode(world.credential())
    certificate = shown.certified.certificate
    bare = replace(certificate, signatures=bytes(len(certificate.signatures)))
    forged = replace(shown, certified=replace(shown.certified, certificate=bare)).encode()
    with pytest.raises(ReadRefused) as refused:
        world.tell(MemberAsked(world.question().encoded, forged))
    assert refused.value.refusal is Refusal.NOT_A_MEMBER


@pytest.mark.parametrize("after_ms", [0, 3_600_000])
def test_members_of_a_cluster_that_is_not_heard_of_read_nothing_until_it_is(after_ms: int) -> None:
    """Who was removed meanwhile still has a credential of the anchored tip, and keys of its epoch may have
    leaked. Where we made no block either (0) it is the time of the question that counts."""
    world = Reading(READ_ALL)
    world.b.now_ms += STALE_AFTER_MS + 60_000
    if after_ms:
        world.b.put("port/late")
    world.a.now_ms = world.b.now_ms
    assert world.refusal() is Refusal.NOT_A_MEMBER
    world.a.put("port/back")
    assert world.b.pull(world.a) is not None
    assert world.ask()


def test_garbage_in_place_of_question_or_credential_is_refused() -> None:
    world = Reading(READ_ALL)
    for asked in (
        MemberAsked(b"\x90", world.credential()),
        MemberAsked(world.question().encoded, b"\x90"),
        MemberAsked(b"", b""),
    ):
        with pytest.raises(ReadRefused):
            world.tell(asked)


def test_members_of_a_retired_cluster_read_nothing() -> None:
    world = Reading(READ_ALL)
    assert world.b.govern(RetireCluster(world.a.id)).ok
    assert world.refusal() is Refusal.DENIED


def test_the_catalogue_lists_what_may_be_listed_and_nothing_else() -> None:
    world = Reading(Grant("records/port/", may_list=True), Grant("records/secret/"))
    world.b.put("port/berths")
    world.b.put("secret/plan")
    page = Page.decode(world.ask(CatalogueAsked("")))
    assert [one.resource for one in page.listed] == ["records/port/berths", "records/port/manifest"]
    assert (page.behind, page.listed[0].owner, page.listed[0].version) == ("", "acme", 1)
    assert [one.resource for one in Page.decode(world.ask(CatalogueAsked("MANI"))).listed] == [
        "records/port/manifest"
    ]
    assert Page.decode(world.ask(CatalogueAsked("plan"))).listed == ()
    behind = Page.decode(world.ask(CatalogueAsked("", "records/port/berths")))
    assert [one.resource for one in behind.listed] == ["records/port/manifest"]


def test_a_catalogue_comes_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE_MAX", 2)
    monkeypatch.setattr(reading, "_SCAN_STEP", 2)
    world = Reading(READ_ALL)
    for number in range(4):
        world.b.put(f"port/{number}")
    found, behind = list[str](), ""
    for _ in range(4):
        page = Page.decode(world.ask(CatalogueAsked("", behind)))
        found += [one.resource for one in page.listed]
        behind = page.behind
        if not behind:
            break
    assert found == [f"records/port/{name}" for name in ("0", "1", "2", "3", "manifest")]


def test_a_search_that_finds_little_ends_its_page_and_says_where_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "SCANNED_MAX", 3)
    world = Reading(READ_ALL)
    for number in range(4):
        world.b.put(f"port/{number}")
    first = Page.decode(world.ask(CatalogueAsked("manifest")))
    assert (first.listed, first.behind) == ((), "records/port/2")
    second = Page.decode(world.ask(CatalogueAsked("manifest", first.behind)))
    assert [one.resource for one in second.listed] == ["records/port/manifest"]


def test_a_message_and_its_acknowledgement_verify_with_either_hash_alone() -> None:
    world = Reading()
    a, b = world.a, world.b
    sent = reading.outbox_bundle(b.reader, a.id, LeafName(False, "records", Mode.UNORDERED, 1))
    with a.store.snapshot() as snapshot:
        asked = LeafAsked(LeafName(True, "records", Mode.UNORDERED, 1))
        answered, header, fact = leaf_told(tell(snapshot, b.id, asked, a.now_ms), a.id, b.id)
    file = MessageFile(
        replace(sent, genesis_body=b.genesis.body), replace(answered, genesis_body=a.genesis.body)
    )
    for trust in (a.id, b.id):
        verified = verify_message(file.encode(), trust=trust)
        assert verified.acknowledgement == fact.leaf
        assert verified.answered.height == header.height
        assert (verified.message.sequence, verified.acknowledgement.result.name) == (1, "OK")
    with pytest.raises(ProofError, match="pinned"):
        verify_message(file.encode(), trust=bytes(32))
    size = len(file.encode()) - len(a.genesis.body) - len(b.genesis.body)
    assert size <= 3 * 1024, size


def test_a_message_with_the_acknowledgement_of_another_is_refused() -> None:
    world = Reading()
    a, b = world.a, world.b
    world.b.share("port/manifest", world.a)
    sent = reading.outbox_bundle(b.reader, a.id, LeafName(False, "records", Mode.UNORDERED, 2))
    answered = reading.outbox_bundle(a.reader, b.id, LeafName(True, "records", Mode.UNORDERED, 1))
    file = MessageFile(
        replace(sent, genesis_body=b.genesis.body), replace(answered, genesis_body=a.genesis.body)
    )
    with pytest.raises(ProofError, match="the acknowledgement is of message 1"):
        verify_message(file.encode(), trust=b.id)


def test_a_message_that_was_never_sent_is_not_there() -> None:
    world = Reading()
    with pytest.raises(ReadRefused) as refused:
        world.tell(LeafAsked(LeafName(False, "records", Mode.UNORDERED, 9)))
    assert refused.value.refusal is Refusal.UNAVAILABLE
