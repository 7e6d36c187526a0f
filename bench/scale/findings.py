"""Measured beside predicted: plain values for scripts, and where the difference comes from, in sentences."""

from dataclasses import asdict, dataclass
from typing import Any

from bench.scale.arithmetic import Predicted, predict, quorum_of
from bench.scale.daemons import RealRounds
from bench.scale.simulated import Simulated
from bench.yardstick import SignatureCost

_MICRO = 1_000_000
_SMALL_PART = 0.05
"""A difference below this part of the prediction needs no words."""
_DEAREST = 3


@dataclass(frozen=True, slots=True)
class RealFinding:
    """Real daemons on `cores` with what arithmetic says of their rounds."""

    real: RealRounds
    cost: SignatureCost
    cores: int

    @property
    def predicted(self) -> Predicted:
        """For as many headers a round as there were."""
        return predict(self.real.nodes, self.real.headers, self.cost)

    @property
    def rounds_per_second_at_most(self) -> float:
        """What these cores could do for all replicas together if a round were signatures and nothing else."""
        return self.cores * _MICRO / (self.real.nodes * self.predicted.crypto_us)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **self.real.to_json(),
            "verify_us": self.cost.verify_us,
            "predicted": asdict(self.predicted),
            "rounds_per_second_at_most": self.rounds_per_second_at_most,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One simulated cluster with what arithmetic says of it."""

    simulated: Simulated
    with_payload: bool
    cost: SignatureCost

    @property
    def predicted(self) -> Predicted:
        """For as many headers a round as there were."""
        return predict(self.simulated.nodes, self.simulated.headers, self.cost)

    @property
    def load(self) -> str:
        """The name of what was ordered."""
        return "payload" if self.with_payload else "empty"

    @property
    def verifies(self) -> float:
        """Signatures that a replica checked in a round."""
        return self.simulated.per_round(self.simulated.total.verifies)

    @property
    def agreement(self) -> tuple[float, float]:
        """Messages and bytes that a replica sent in a round, those counted by the arithmetic."""
        counted = ("vote", "proposal", "header signature")
        found = self.simulated
        messages = sum(found.sent.get(kind, 0) for kind in counted)
        size = sum(found.sent_bytes.get(kind, 0) for kind in counted)
        return found.sent_per_round(messages), found.sent_per_round(size)

    @property
    def rest_us(self) -> float:
        """CPU of a replica in a round that is no signature."""
        return self.simulated.cpu_us - self.simulated.crypto_us

    def explanations(self) -> tuple[str, ...]:
        """Why measured is not predicted, from the counts by kind of event."""
        found, predicted = self.simulated, self.predicted
        sentences: list[str] = []
        more = self.verifies - predicted.verifies
        if more > _SMALL_PART * predicted.verifies:
            proposals = found.kinds.get("proposal")
            inside = 0.0 if proposals is None else found.per_round(proposals.verifies)
            sentences.append(
                f"{more:.1f} more signatures are checked than a round needs: "
                f"{max(0.0, inside - 1):.1f} of them in proposals, whose certificates are made of what "
                "reached their leaders first and not of what was checked here"
            )
        rest = sorted(found.kinds.items(), key=lambda item: -item[1].rest_seconds)[:_DEAREST]
        parts = ", ".join(
            f"{kind} {found.per_round(cost.rest_seconds) * _MICRO / 1000:.2f} ms "
            f"({cost.rest_seconds / cost.events * _MICRO:.0f} us each)"
            for kind, cost in rest
        )
        sentences.append(f"{self.rest_us / 1000:.2f} ms are no signatures; the dearest: {parts}")
        return tuple(sentences)

    def to_json(self) -> dict[str, Any]:
        """Plain values; amounts are a replica's in one round."""
        found, total = self.simulated, self.simulated.total
        messages, size = self.agreement
        return {
            "nodes": found.nodes,
            "quorum": quorum_of(found.nodes),
            "load": self.load,
            "rounds": found.rounds,
            "measured_replicas": found.measured,
            "headers_per_round": found.headers,
            "rounds_per_second": found.rounds_per_second,
            "rounds_per_core_second": _MICRO / found.cpu_us,
            "cpu_us": found.cpu_us,
            "crypto_us": found.crypto_us,
            "rest_us": self.rest_us,
            "verifies": self.verifies,
            "signs": found.per_round(total.signs),
            "messages": messages,
            "bytes": size,
            "verify_us": self.cost.verify_us,
            "predicted": asdict(self.predicted),
            "kinds": {
                kind: {
                    "events": found.per_round(cost.events),
                    "cpu_us": found.per_round(cost.seconds) * _MICRO,
                    "verifies": found.per_round(cost.verifies),
                    "rest_us": found.per_round(cost.rest_seconds) * _MICRO,
                }
                for kind, cost in sorted(found.kinds.items(), key=lambda item: -item[1].seconds)
            },
            "sent": {
                kind: {
                    "messages": found.sent_per_round(count),
                    "bytes": found.sent_per_round(found.sent_bytes[kind]),
                }
                for kind, count in sorted(found.sent.items())
            },
            "explanations": list(self.explanations()),
        }
