"""What one cluster tells another of a third: what it anchored, whose certificate that bears, or evidence.

Two clusters without a direct link are shown two histories of a third, and neither can know. Whoever follows
both compares: a view is a seer's anchor, proven under its own certified header, with the certified header
that it took; where the seer has frozen the subject, the evidence instead (F4). A place says which header
stands at a height in the history of the subject's newest one: from a certified header elsewhere and a place
here follows evidence, or agreement.

    view   [[subject, anchor, state proof], [header bytes, certificate] | nil, evidence bytes | nil]
    place  [height, header hash, history path]
"""

from dataclasses import dataclass

from consensus import CodecError, Digest, Value, as_bytes, as_int, as_tuple
from node.anchoring.cluster.anchors import AnchorProof, path_from_value
from node.anchoring.cluster.certified import Certified

VIEWS_MAX = 4
PLACES_MAX = 8
VIEW_EVIDENCE_BYTES_MAX = 32 * 1024
"""Longer evidence, of many links, is brought by hand."""


@dataclass(frozen=True, slots=True)
class View:
    """One cluster's word on another; nothing in it is believed until checked, `evidence` not even decoded."""

    anchor: AnchorProof
    certified: Certified | None
    evidence: bytes | None

    def to_value(self) -> Value:
        """`[anchor proof, certified header | nil, evidence bytes | nil]`."""
        certified = None if self.certified is None else self.certified.to_value()
        return (self.anchor.to_value(), certified, self.evidence)

    @staticmethod
    def from_value(value: Value) -> "View":
        """The inverse of `to_value`; raises CodecError."""
        anchor, certified, evidence = as_tuple(value, 3, "view")
        if (certified is None) == (evidence is None):
            raise CodecError("a view brings a certified header or evidence")
        return View(
            AnchorProof.from_value(anchor),
            None if certified is None else Certified.from_value(certified),
            None if evidence is None else as_bytes(evidence, "evidence", max_length=VIEW_EVIDENCE_BYTES_MAX),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """The header at `height` in the history of the header that a bundle leads to, as it is claimed."""

    height: int
    header_hash: Digest
    path: tuple[bytes, ...]

    def to_value(self) -> Value:
        """`[height, header hash, path]`."""
        return (self.height, self.header_hash, self.path)

    @staticmethod
    def from_value(value: Value) -> "Place":
        """The inverse of `to_value`; raises CodecError."""
        height, header_hash, path = as_tuple(value, 3, "place")
        return Place(
            as_int(height, "height"),
            Digest(as_bytes(header_hash, "header hash", length=32)),
            path_from_value(path, "place"),
        )
