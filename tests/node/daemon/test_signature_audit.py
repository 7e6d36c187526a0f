"""`isthmus db check --signatures`: forged transactions that verification certificates let in are found."""

import json

import pytest

from consensus import as_array, as_bytes, as_tuple, decode, encode
from node.cli.exits import Exit
from node.cli.main import run
from node.daemon.signature_audit import FORGERIES_MAX, audit_signatures
from node.daemon.startup import open_store
from node.genesis import Genesis
from node.storage import ChainTable, Write, height_key
from tests.byzantine.forging import forged
from tests.node.daemon.grown import Grown
from tests.node.daemon.running import config_of
from tests.node.validator.world import world_of


def test_what_nobody_signed_is_found_wherever_it_stands_and_nothing_else() -> None:
    world = world_of(seed=5).start()
    for _ in range(3):
        assert world.stored(world.submit(0, 4), 5_000)
    store = world.hosts[1].disk.store
    heard: list[tuple[int, int]] = []
    assert audit_signatures(store, lambda *told: heard.append(told)) == []
    assert heard[-1][0] == heard[-1][1] > 0

    with store.snapshot() as view:
        body = view.get(ChainTable.BODIES, height_key(2))
    assert body is not None
    transactions, receipts = as_tuple(decode(body), 2, "body")
    known = list(as_array(transactions, 100, "transactions"))
    bad = forged(world.transaction())
    store.apply(
        [
            Write(ChainTable.BODIES, height_key(2), encode((tuple([bad, *known]), receipts))),
            Write(ChainTable.BODIES, height_key(7_000), encode(((b"no transaction",), ()))),
            Write(ChainTable.BODIES, height_key(7_001), b"no body"),
        ],
        [],
    )
    one, two, three = audit_signatures(store, lambda *told: None)
    assert one.startswith("height 2, transaction 0: ")
    assert "is not signed by its sender" in one
    assert two.startswith("height 7000, transaction 0: ")
    assert three.startswith("height 7001 cannot be read: ")

    many = encode(((bad,) * (FORGERIES_MAX + 5), ()))
    store.apply([Write(ChainTable.BODIES, height_key(1), many)], [])
    assert len(audit_signatures(store, lambda *told: None)) == FORGERIES_MAX


def test_operators_have_it_from_db_check(grown: Grown, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(grown.home.path)
    arguments = ["db", "check", "--signatures", "--home", home]
    assert run(arguments) == Exit.OK
    assert "is in order, every signature included" in " ".join(capsys.readouterr().out.split())

    genesis = Genesis.from_json(grown.testnet.genesis_file.read_text())
    store = open_store(config_of(grown.testnet), genesis)
    with store.snapshot() as view:
        ((key, body),) = view.scan(ChainTable.BODIES, b"", limit=1)
    transactions, receipts = as_tuple(decode(body), 2, "body")
    (first, *rest) = (as_bytes(item, "one") for item in as_array(transactions, 10_000, "transactions"))
    bad = first[:-1] + bytes((first[-1] ^ 1,))
    store.apply([Write(ChainTable.BODIES, key, encode(((bad, *rest), receipts)))], [])
    store.close()

    assert run([*arguments, "--json"]) == Exit.NEGATIVE
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["findings"], len(told["forged"])) == (False, [], 1)
    assert run(arguments) == Exit.NEGATIVE
    assert "Keep this folder" in " ".join(capsys.readouterr().out.split())
    assert run(["db", "check", "--home", home]) == Exit.OK  # without a look at them
