"""Which write of which instance ends in a crash, each once."""

from bench.sim.twins.instance import Instance
from bench.sim.twins.scenario import Image, Restart, RoundPlan


class Crashes:
    """The restarts of the rounds opened so far."""

    def __init__(self) -> None:
        self._planned: list[tuple[Restart, ...]] = []
        self._done: dict[tuple[int, int, int], bool] = {}  # (round, instance, write)

    def open(self, plan: RoundPlan) -> None:
        """The next round's plan."""
        self._planned.append(plan.restarts)

    def due(self, instance: Instance) -> Image | None:
        """How the write that this instance has just asked for ends, None when well."""
        round = instance.round
        if round > len(self._planned):
            return None
        for restart in self._planned[round - 1]:
            key = (int(round), restart.instance, restart.persist)
            mine = restart.instance == instance.index and restart.persist == instance.writes
            if mine and key not in self._done:
                self._done[key] = True
                return restart.image
        return None
