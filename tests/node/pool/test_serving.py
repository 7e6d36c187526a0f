"""Answers to those who catch up prove themselves, and stay within what was asked."""

from dataclasses import replace

import pytest

from consensus import Height, SignatureCache
from node.pool.messages import MESSAGE_BYTES_MAX, SyncRequest, SyncResponse, decode_message, encode_message
from node.pool.serving import serve
from node.pool.verifying import Judgement, Trust, verify_range
from tests.node.pool.chain import Chain
from tests.node.pool.world import CLUSTER, CONFIG

CHAIN = Chain(12)
BELIEVING = Trust(lambda _: Judgement.VALID, lambda _: Judgement.VALID)


def ask(chain: Chain, start: int, count: int, bytes_max: int = 2**20) -> SyncResponse:
    response = serve(chain, SyncRequest(Height(start), count, bytes_max))
    assert decode_message(encode_message(response)) == response
    if response.items:
        assert verify_range(response, count, CONFIG, BELIEVING) is not None
        assert response.certificate is not None
        validators = replace(chain.validators, epoch=response.certificate.epoch)
        response.certificate.verify(CLUSTER, validators, SignatureCache())
    return response


def heights(response: SyncResponse) -> tuple[int, int]:
    return len(response.items), len(response.links)


def test_a_range_of_certified_heights_needs_no_links() -> None:
    assert heights(ask(CHAIN, 3, 5)) == (5, 0)


def test_a_range_beyond_the_end_is_cut() -> None:
    assert heights(ask(CHAIN, 10, 64)) == (3, 0)


def test_nothing_to_offer_is_said_so() -> None:
    assert heights(ask(CHAIN, 13, 5)) == (0, 0)
    assert heights(ask(Chain(5, certified=()), 1, 5)) == (0, 0)


def test_headers_link_to_a_later_certificate() -> None:
    assert heights(ask(Chain(12, certified=(4, 9)), 2, 5)) == (5, 3)


def test_what_is_not_certified_yet_is_left_out() -> None:
    chain = Chain(12, certified=(4, 9))
    assert heights(ask(chain, 8, 64)) == (2, 0)
    assert heights(ask(chain, 10, 3)) == (0, 0)


@pytest.mark.parametrize(("bytes_max", "count"), [(1, 1), (1_500, 1), (5_000, 3)])
def test_bytes_bound_a_range_but_one_height_always_comes(bytes_max: int, count: int) -> None:
    response = ask(CHAIN, 1, 64, bytes_max)
    assert 1 <= len(response.items) <= count + 1
    assert len(response.items) == 1 or sum(item.size for item in response.items) <= bytes_max


def test_a_range_ends_with_its_epoch() -> None:
    chain = Chain(9, epoch_ends=(4,))
    assert heights(ask(chain, 2, 64)) == (3, 0)
    assert heights(ask(chain, 5, 64)) == (5, 0)


def test_a_gap_in_the_stored_batches_ends_the_range() -> None:
    chain = Chain(6)
    del chain.items[4]
    assert heights(ask(chain, 2, 5)) == (2, 0)


def test_the_largest_answer_fits_one_message() -> None:
    chain = Chain(40, size=60_000)
    response = serve(chain, SyncRequest(Height(1), 1024, 2**23))
    assert len(encode_message(response)) <= MESSAGE_BYTES_MAX
