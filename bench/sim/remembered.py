"""Real signatures, each checked once a world rather than once a host.

In a cluster of n hosts every vote and header signature is verified n - 1 times, and again inside each
certificate that carries it. A check is a pure function of (key, message, signature), so a world may remember
its answer: what is simulated stays the same to the bit, and a core is spent on interleavings.
"""

from consensus import ED25519, SignatureScheme

NAME = "ed25519-remembered"
ANSWERS_MAX = 200_000
"""Answers kept, some 60 MB of them: every signature of the last minutes of any world. Older ones are worked
out again."""


def remembered(scheme: SignatureScheme = ED25519, answers_max: int = ANSWERS_MAX) -> SignatureScheme:
    """A scheme that gives the answers of `scheme`, good and bad, from a memory of its own."""
    answers: dict[tuple[bytes, bytes, bytes], bool] = {}
    verify = scheme.verify

    def check(public_key: bytes, message: bytes, signature: bytes) -> bool:
        asked = (public_key, message, signature)
        answer = answers.get(asked)
        if answer is None:
            if len(answers) >= answers_max:
                # oldest first: a dict keeps the order in which it was filled
                del answers[next(iter(answers))]
            answer = answers[asked] = verify(public_key, message, signature)
        return answer

    return SignatureScheme(NAME, check)
