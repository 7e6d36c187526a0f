"""Signatures, domain separation, and the cache of what verified."""

import pytest

from consensus import SignatureCache, SigningKey, digest, verify

KEY = SigningKey(bytes(32))
MESSAGE = digest("isthmus/test/v1", b"message")


def test_a_signature_is_of_one_key_and_one_message() -> None:
    signature = KEY.sign(MESSAGE)
    assert verify(KEY.public_key, MESSAGE, signature)
    assert not verify(KEY.public_key, digest("isthmus/test/v1", b"other"), signature)
    assert not verify(SigningKey(b"\1" * 32).public_key, MESSAGE, signature)
    assert not verify(KEY.public_key, MESSAGE, signature[:-1] + bytes((signature[-1] ^ 1,)))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_malformed_lengths_are_simply_wrong(length: int) -> None:
    assert not verify(KEY.public_key, MESSAGE, bytes(length))
    assert not verify(bytes(length), MESSAGE, KEY.sign(MESSAGE))


def test_a_small_order_key_verifies_nothing() -> None:
    identity = b"\1" + bytes(31)
    assert not verify(identity, MESSAGE, identity + bytes(32))


def test_domains_are_apart_even_when_tag_and_content_meet() -> None:
    assert digest("isthmus/vote/v1", b"x") != digest("isthmus/vote/v2", b"x")
    assert digest("ab", b"c") != digest("a", b"bc")


def test_the_secret_is_not_shown() -> None:
    assert "00" * 16 not in repr(KEY)
    assert KEY.public_key.hex()[:12] in repr(KEY)


def test_a_seed_has_its_length() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey(b"short")


def test_the_cache_remembers_successes_only_and_is_bounded() -> None:
    cache = SignatureCache(limit=2)
    signature = KEY.sign(MESSAGE)
    assert not cache.verify(KEY.public_key, MESSAGE, bytes(64))
    assert len(cache) == 0
    assert cache.verify(KEY.public_key, MESSAGE, signature)
    assert cache.verify(KEY.public_key, MESSAGE, signature)
    assert (cache.hits, cache.misses) == (1, 2)
    for number in range(5):
        other = digest("isthmus/test/v1", bytes((number,)))
        cache.add(KEY.public_key, other, KEY.sign(other))
    assert len(cache) == 2
