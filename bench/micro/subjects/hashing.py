"""SHA-256 with its domain tag, from one digest to a whole batch."""

from functools import partial

from bench.micro.subject import Sampler, Subject, Workshop, repeated
from consensus import digest

_SIZES = (("32B", 32), ("512B", 512), ("4KiB", 4 * 1024), ("64KiB", 64 * 1024), ("256KiB", 256 * 1024))


def _make(size: int, workshop: Workshop) -> Sampler:
    return repeated(workshop.clock, partial(digest, "isthmus/batch/v1", bytes(size)))


SUBJECTS = tuple(Subject(f"hash/{label}", "digest", partial(_make, size)) for label, size in _SIZES)
