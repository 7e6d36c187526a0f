"""Signatures with a memory: the answers are those of Ed25519, and each is asked for once."""

from bench.sim.remembered import NAME, remembered
from bench.sim.setting import make_setting
from consensus import ED25519, SignatureScheme


def counting(asked: list[bytes]) -> SignatureScheme:
    """Ed25519 that notes the messages it checks."""

    def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(message)
        return ED25519.verify(public_key, message, signature)

    return SignatureScheme(ED25519.name, verify)


def test_good_and_bad_signatures_are_told_apart_and_checked_once() -> None:
    asked: list[bytes] = []
    scheme = remembered(counting(asked))
    key = make_setting(1, scheme).validators[0]
    message = bytes(32)
    good = key.sign(message)  # type: ignore[arg-type]  # any 32 bytes
    bad = bytes(64)
    for _ in range(3):
        assert scheme.verify(key.public_key, message, good)
        assert not scheme.verify(key.public_key, message, bad)
        assert not scheme.verify(key.public_key, b"x" * 32, good)
        assert not scheme.verify(bytes(5), message, good)
    assert len(asked) == 4
    assert scheme.name == NAME


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    asked: list[bytes] = []
    scheme = remembered(counting(asked), answers_max=2)
    for message in (b"a", b"b", b"c", b"c", b"b"):
        scheme.verify(bytes(32), message, bytes(64))
    assert asked == [b"a", b"b", b"c"]
    scheme.verify(bytes(32), b"a", bytes(64))
    assert asked[3:] == [b"a"]


def test_a_daemon_is_given_another_name_to_refuse() -> None:
    assert remembered().name != ED25519.name
