"""What arrives by gossip, and what timeouts say of absent payload: believed only after verification."""

from collections.abc import Callable

from consensus import (
    CodecError,
    Epoch,
    Evidence,
    InvalidMessage,
    MalformedMessage,
    Round,
    SignatureCache,
    Timeout,
    TimeoutReason,
    ValidatorIndex,
    ValidatorSet,
)


class GossipRoom:
    """Verifies gossiped objects, so that only true ones are forwarded; counts blame by round."""

    def __init__(
        self,
        cluster_id: bytes,
        validators: ValidatorSet,
        set_of: Callable[[Epoch], ValidatorSet | None],
        cache: SignatureCache,
    ) -> None:
        """`validators` are those of the current epoch, `set_of` knows those of all epochs up to it."""
        self._cluster_id = cluster_id
        self._validators = validators
        self._set_of = set_of
        self._cache = cache
        self._blame_round = Round(0)
        self._blamed: dict[ValidatorIndex, dict[ValidatorIndex, None]] = {}

    def evidence(self, body: bytes) -> Evidence | None:
        """Verified evidence, of this epoch or an earlier one; None for what only a later epoch can judge.
        Raises PeerError."""
        try:
            evidence = Evidence.decode(body)
        except CodecError as error:
            raise MalformedMessage("gossip-evidence", str(error)) from error
        validators = self._set_of(evidence.epoch)
        if validators is None:
            return None
        evidence.verify(self._cluster_id, validators, self._cache.scheme)
        return evidence

    def blame(
        self, author: ValidatorIndex, timeout: Timeout, current: Round
    ) -> tuple[ValidatorIndex, int] | None:
        """The batch author whose payload `author` misses in this round and the weight of all who say so
        (C9); None when the timeout blames nobody, or speaks of another round than our `current` one: a
        liar's far round must not drown the others. Raises PeerError for an author that does not exist."""
        blamed = timeout.blamed
        if blamed is None or timeout.reason is not TimeoutReason.PAYLOAD_UNAVAILABLE:
            return None
        if not self._validators.contains(blamed):
            raise InvalidMessage("timeout-blame", f"validator {blamed} does not exist")
        if timeout.round != current:
            return None
        if current != self._blame_round:
            self._blame_round, self._blamed = current, {}
        voices = self._blamed.setdefault(blamed, {})
        voices[author] = None
        return blamed, self._validators.weight_of(voices)
