"""What a checker raises: an invariant is broken."""


class Violation(Exception):
    """`invariant` is the short, stable name of what was broken; the words say which, where and when."""

    def __init__(self, invariant: str, words: str) -> None:
        super().__init__(invariant, words)
        self.invariant = invariant
        self.words = words

    def __str__(self) -> str:
        return f"{self.invariant}: {self.words}"
