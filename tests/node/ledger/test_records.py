"""Records: owned, versioned, never removed, and every answer stands on a provable key."""

from hashlib import sha256

import pytest

from consensus import CodecError, Value
from node.ledger.apps import record_queries, records
from node.ledger.apps.app import STATE_KEY_BYTES_MAX, WRITES_MAX, App, Context, Method
from node.ledger.apps.records import Entry, check_record_id, entry_hash, make_record_id
from node.ledger.apps.registry import Apps
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.execution import Ledger
from node.ledger.policy import Policy
from node.ledger.state import Space
from node.proofs import smt
from tests.node.ledger.world import ALICE, ANNA, BOB, STRANGER, Store, World, make_genesis, put_args


class Nodes:
    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, key: bytes) -> bytes | None:
        return self.store.get(Space.NODES, key)


def three_versions() -> World:
    world = World()
    world.execute(world.put(ALICE, "acme/a", b"one"))
    world.execute(world.supersede(ANNA, "acme/a", 1, b"two"))
    world.execute(world.supersede(ALICE, "acme/a", sha256(b"two").digest(), b"three"))
    return world


def test_versions_form_a_chain_of_hashes_with_their_authors() -> None:
    world = three_versions()
    newest, second, first = record_queries.history(world.store, "acme/a")
    assert [v.entry.number for v in (newest, second, first)] == [3, 2, 1]
    assert [v.entry.content.sha256 for v in (first, second, newest)] == [
        sha256(content).digest() for content in (b"one", b"two", b"three")
    ]
    assert first.entry.previous is None
    assert second.entry.previous == entry_hash(first.stored)
    assert newest.entry.previous == entry_hash(second.stored)
    assert [v.entry.author for v in (first, second)] == [ALICE.public_key, ANNA.public_key]
    assert {v.entry.owner for v in (first, second, newest)} == {"acme"}
    assert [v.entry.height for v in (first, second, newest)] == [1, 2, 3]
    assert newest.entry.time_ms == world.now_ms


def test_every_query_names_a_key_that_proves_it() -> None:
    world = three_versions()
    root = world.ledger.tip.header.state_root
    nodes = Nodes(world.store)
    for lookup in record_queries.history(world.store, "acme/a"):
        smt.verify_presence(root, lookup.key, lookup.stored, smt.prove(nodes, lookup.key))
    for lookup in (
        record_queries.current(world.store, "acme/none"),
        record_queries.version(world.store, "acme/a", 4),
        record_queries.version(world.store, "acme/none", 1),
    ):
        assert lookup.entry is lookup.stored is None
        smt.verify_absence(root, lookup.key, smt.prove(nodes, lookup.key))


def test_history_comes_in_bounded_pages() -> None:
    world = three_versions()
    numbers = [v.entry.number for v in record_queries.history(world.store, "acme/a", newest=2, limit=1)]
    assert numbers == [2]
    assert [v.entry.number for v in record_queries.history(world.store, "acme/a", limit=2)] == [3, 2]
    assert record_queries.history(world.store, "acme/a", newest=9, limit=10_000)[0].entry.number == 3
    assert record_queries.history(world.store, "acme/none") == ()
    assert record_queries.version(world.store, "acme/a", 3).key == b"records/current/acme/a"
    with pytest.raises(RejectedTransaction, match="a version is"):
        record_queries.version(world.store, "acme/a", 2**32)
    with pytest.raises(RejectedTransaction, match="namespace/name"):
        record_queries.current(world.store, "../a")


def test_queries_read_through_the_overlay_too() -> None:
    world = World()
    world.execute(world.put(ALICE, "acme/a"), flush=False)
    assert record_queries.current(world.store, "acme/a").entry is None
    assert record_queries.current(world.ledger.overlay, "acme/a").entry.number == 1


@pytest.mark.parametrize(
    ("key", "previous", "code"),
    [
        (BOB, 1, Code.NOT_OWNER),
        (STRANGER, 1, Code.UNKNOWN_SENDER),
        (ALICE, 2, Code.WRONG_PREVIOUS),
        (ALICE, sha256(b"other").digest(), Code.WRONG_PREVIOUS),
        (ANNA, 1, Code.OK),
        (ALICE, sha256(b"one").digest(), Code.OK),
    ],
)
def test_only_the_owner_supersedes_and_only_what_is_current(key: object, previous: Value, code: Code) -> None:
    world = World()
    world.execute(world.put(ALICE, "acme/a", b"one"))
    (receipt,) = world.execute(world.supersede(key, "acme/a", previous, b"two")).receipts
    assert receipt.status == code


def test_creating_twice_and_superseding_nothing_fail() -> None:
    world = World()
    execution = world.execute(
        world.supersede(ALICE, "acme/a", 1, b"x"), world.put(ALICE, "acme/a"), world.put(BOB, "acme/a")
    )
    assert [r.status for r in execution.receipts] == [Code.RECORD_UNKNOWN, Code.OK, Code.RECORD_EXISTS]


@pytest.mark.parametrize(
    "record_id",
    [
        "a",
        "/a",
        "a/",
        "a//b",
        "a/ b",
        "a/\u00e9",
        "a/b\n",
        "../a",
        "a/..",
        "a/./b",
        "",
        "a/" + "b" * 239,
        5,
        None,
        b"a/b",
    ],
)
def test_record_ids_of_another_form_are_refused_in_words(record_id: Value) -> None:
    with pytest.raises(RejectedTransaction, match="must be namespace/name") as caught:
        check_record_id(record_id)
    assert caught.value.code == Code.INVALID_ARGUMENTS


def test_any_path_has_a_record_id() -> None:
    assert check_record_id("acme/...") == "acme/..."
    assert make_record_id("pypi", "trio", "0.35.0") == "pypi/trio/0.35.0"
    made = make_record_id("acme", "a b/c\u00e9%")
    assert check_record_id(made) == made == "acme/a%20b%2Fc%C3%A9%25"
    for segments in (("acme", ""), ("acme", "x" * 300), ("acme",), ("acme", "..")):
        with pytest.raises(RejectedTransaction):
            make_record_id(*segments)


GOOD = put_args("acme/a")


@pytest.mark.parametrize(
    ("position", "value", "words"),
    [
        (1, bytes(31), "sha256 must be exactly 32 bytes"),
        (1, "00", "sha256 must be"),
        (2, -1, "size must be an integer"),
        (2, 2**63, "size must be an integer"),
        (3, "s" * 257, "schema must be text"),
        (4, "l" * 1025, "location must be text"),
        (5, ("x",), "link"),
        (5, ("a/b", "a/b"), "twice"),
        (5, tuple(f"a/{i}" for i in range(33)), "links must be an array of at most 32"),
        (6, (("k",),), "label must be an array of 2"),
        (6, (("", "v"),), "must not be empty"),
        (6, (("k", "v"), ("k", "w")), "repeat"),
        (6, (("k", "v" * 257),), "label k must be text"),
        (6, (("k" * 65, "v"),), "label must be text"),
        (6, tuple((f"{i}", "") for i in range(33)), "labels must be an array of at most 32"),
    ],
)
def test_arguments_out_of_bounds_are_named(position: int, value: Value, words: str) -> None:
    args = (*GOOD[:position], value, *GOOD[position + 1 :])
    for method, given in (("put", args), ("supersede", (args[0], 1, *args[1:]))):
        with pytest.raises(RejectedTransaction, match=words) as caught:
            Apps(("records",)).check("records", method, given)
        assert caught.value.code == Code.INVALID_ARGUMENTS
    (receipt,) = (world := World()).execute(world.sign(ALICE, "put", args)).receipts
    assert receipt.status == Code.INVALID_ARGUMENTS


@pytest.mark.parametrize("previous", [0, -1, bytes(31), "1", None, (1,)])
def test_previous_is_a_version_or_a_hash(previous: Value) -> None:
    with pytest.raises(RejectedTransaction, match="previous"):
        records.parse_supersede((GOOD[0], previous, *GOOD[1:]))


def test_the_largest_record_fits_its_bounds() -> None:
    world = World()
    record_id = "n/" + "r" * 238
    links = tuple(f"{i}/" + "l" * (240 - len(str(i)) - 1) for i in range(32))
    labels = tuple((f"{i}".rjust(64, "k"), "v" * 256) for i in range(32))
    args = (record_id, bytes(32), 2**63 - 1, "s" * 256, "l" * 1024, links, labels)
    execution = world.execute(world.sign(ALICE, "put", args))
    assert execution.receipts[0].ok
    assert record_queries.current(world.store, record_id).entry.content.links == links
    longest = max(len(key) for key in world.store.spaces[Space.STATE])
    assert longest <= STATE_KEY_BYTES_MAX


def test_a_stored_entry_decodes_strictly() -> None:
    world = World()
    world.execute(world.put(ALICE, "acme/a"))
    stored = world.store.spaces[Space.STATE][b"records/current/acme/a"]
    assert Entry.decode(stored).encode() == stored
    for damaged in (stored[:-1], stored + b"\x00", b"\x02", stored.replace(b"acme", b"\xff\xff\xff\xff")):
        with pytest.raises(CodecError):
            Entry.decode(damaged)


# --- the interface, with an application that misbehaves --------------------------------------------


def scribbler(run: object) -> Apps:
    """An application whose one method is `run`."""
    method = Method("go", lambda args: args, run, lambda context, parsed: None, Policy("ANY"))
    return Apps(("records",), (App("records", (method,)),))


def world_with(run: object) -> World:
    world = World()
    policy = (Space.STATE, b"policies/records.go", world.store.spaces[Space.STATE][b"policies/records.put"])
    world.store.apply((policy,))
    world.ledger = Ledger(world.genesis.params, world.store, world.beginning.tip, apps=scribbler(run))
    return world


def test_writes_of_a_method_that_fails_afterwards_are_rolled_back() -> None:
    def run(context: Context, args: object) -> Value:
        context.put(b"x", b"1")
        context.delete(b"y")
        assert context.get(b"x") == b"1"
        raise RejectedTransaction(Code.WRONG_PREVIOUS, "changed my mind")

    world = world_with(run)
    execution = world.execute(world.sign(ALICE, "go", ()))
    assert execution.receipts[0].status == Code.WRONG_PREVIOUS
    assert b"records/x" not in world.store.spaces[Space.STATE]


@pytest.mark.parametrize(
    "write",
    [
        lambda context: [context.put(b"%d" % i, b"v") for i in range(WRITES_MAX + 1)],
        lambda context: context.put(b"k" * STATE_KEY_BYTES_MAX, b"v"),
        lambda context: context.put(b"k", b"v" * (256 * 1024 + 1)),
        lambda context: context.put(b"k", b""),
    ],
)
def test_a_transaction_that_writes_too_much_fails_and_leaves_nothing(write: object) -> None:
    world = world_with(lambda context, args: write(context) and None)
    execution = world.execute(world.sign(ALICE, "go", ()))
    assert execution.receipts[0].status == Code.TOO_MANY_WRITES
    assert not any(key.startswith(b"records/") for key in world.store.spaces[Space.STATE])


def test_a_delete_removes_the_leaf() -> None:
    def run(context: Context, args: tuple[Value, ...]) -> Value:
        if args[0] == 1:
            context.put(b"x", b"1")
        else:
            context.delete(b"x")
        return None

    world = world_with(run)
    empty = {k for k in world.store.spaces[Space.STATE] if not k.startswith(b"replay/")}
    world.execute(world.sign(ALICE, "go", (1,)))
    assert b"records/x" in world.store.spaces[Space.STATE]
    world.execute(world.sign(ALICE, "go", (2,)), world.sign(ALICE, "go", (2,)))
    assert {k for k in world.store.spaces[Space.STATE] if not k.startswith(b"replay/")} == empty


def test_a_bug_in_an_application_stops_the_process_instead_of_becoming_a_receipt() -> None:
    def run(context: Context, args: object) -> Value:
        return 1 // len(())

    world = world_with(run)
    with pytest.raises(ZeroDivisionError):
        world.execute(world.sign(ALICE, "go", ()))


def test_an_answer_too_large_for_a_receipt_stops_the_process() -> None:
    world = world_with(lambda context, args: b"x" * 20_000)
    with pytest.raises(Exception, match="receipt of"):
        world.execute(world.sign(ALICE, "go", ()))


def test_a_method_without_a_policy_is_forbidden() -> None:
    world = World()
    world.ledger = Ledger(
        world.genesis.params,
        world.store,
        world.beginning.tip,
        apps=scribbler(lambda context, args: None),
    )
    (receipt,) = world.execute(world.sign(ALICE, "go", ())).receipts
    assert receipt.status == Code.FORBIDDEN


def test_no_application_may_take_a_name_of_the_ledgers_own_keys() -> None:
    for name in ("members", "policies", "replay", "organisations"):
        with pytest.raises(ValueError, match="reserved"):
            Apps((name,), (App(name, ()),))


def test_default_policies_admit_any_member_and_forbid_strangers() -> None:
    world = World(make_genesis())
    execution = world.execute(*[world.put(key, f"n/{i}") for i, key in enumerate((ALICE, BOB, STRANGER))])
    assert [r.status for r in execution.receipts] == [Code.OK, Code.OK, Code.UNKNOWN_SENDER]
