"""Ed25519 as the product calls it: over 32-byte digests."""

from functools import partial

from bench.micro.cluster import key_of
from bench.micro.subject import Sampler, Subject, Workshop, repeated
from consensus import Digest, verify

_MESSAGE = Digest(bytes(32))


def _sign(workshop: Workshop) -> Sampler:
    return repeated(workshop.clock, partial(key_of("signer").sign, _MESSAGE))


def _verify(workshop: Workshop) -> Sampler:
    key = key_of("signer")
    signature = key.sign(_MESSAGE)
    if not verify(key.public_key, _MESSAGE, signature):
        raise AssertionError("a good signature does not verify")
    return repeated(workshop.clock, partial(verify, key.public_key, _MESSAGE, signature))


SUBJECTS = (
    Subject("ed25519/sign", "signature", _sign),
    Subject("ed25519/verify", "signature", _verify),
)
