"""What a run went through, so that a sweep can show that it tested something."""


class Counters:
    """One run's; a copy of the run counts on from there."""

    def __init__(self) -> None:
        self.steps = 0
        self.commits = 0
        self.commits_before_tail = 0
        self.healed = 0
        self.restarts = 0
        self.tail_rounds = 0

    def add_commits(self, blocks: int, in_tail: bool) -> None:
        """An instance commits so many blocks, perhaps after the network became whole."""
        self.commits += blocks
        self.commits_before_tail += 0 if in_tail else blocks
