"""The epoch links that a node has stored, as readers outside the cluster follow them."""

from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import LINKS_MAX, EpochLink
from node.storage import ChainTable, Reader
from node.validator.epochs import EpochLink as StoredLink
from node.validator.epochs import epoch_key


def epoch_links(reader: Reader, epoch: int = LINKS_MAX) -> tuple[EpochLink, ...]:
    """The links from epoch 0 to `epoch`, or to the last that is stored."""
    links: list[EpochLink] = []
    while len(links) < epoch:
        stored = reader.get(ChainTable.EPOCHS, epoch_key(len(links) + 1))
        if stored is None:
            break
        link = StoredLink.decode(stored)
        ending = Certified(link.header, link.certificate)
        links.append(EpochLink(ending, link.roster.validator_set().validators))
    return tuple(links)
