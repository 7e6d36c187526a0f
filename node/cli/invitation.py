"""The file by which one cluster asks another to admit it: who it is, and where its nodes may be dialled.

{"isthmus": "invitation", "version": 1, "name": ..., "cluster_id": HEX, "genesis": HEX of the canonical body,
 "addresses": [{"node_key": HEX, "host": ..., "port": ...}, ...]}

It holds nothing secret and proves nothing by itself: whoever joins compares the cluster id with what the
other side says elsewhere. Without addresses the cluster cannot be dialled and dials out itself.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from consensus import CodecError
from node.anchoring.cluster.identity import ClusterIdentity
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.ledger.federation.changes import GENESIS_BYTES_MAX
from node.ledger.federation.records import ADDRESSES_MAX, Address, addresses_of

INVITATION_BYTES_MAX = 256 * 1024
_KIND, _VERSION = "invitation", 1
_FIELDS = ("isthmus", "version", "name", "cluster_id", "genesis", "addresses")


@dataclass(frozen=True, slots=True)
class Invitation:
    """A cluster that asks to be admitted. `body` is its canonical genesis body."""

    body: bytes
    addresses: tuple[Address, ...]

    @property
    def identity(self) -> ClusterIdentity:
        """What the genesis says."""
        return ClusterIdentity.from_body(self.body)

    def to_json(self) -> str:
        """The text of the file."""
        identity = self.identity
        document = {
            "isthmus": _KIND,
            "version": _VERSION,
            "name": identity.name,
            "cluster_id": identity.cluster_id.hex(),
            "genesis": self.body.hex(),
            "addresses": [
                {"node_key": address.node_key.hex(), "host": address.host, "port": address.port}
                for address in self.addresses
            ],
        }
        return json.dumps(document, indent=2) + "\n"


def read_invitation(path: Path) -> Invitation:
    """The invitation in a file. Raises Failure that says what is wrong with it."""
    with path.open("rb") as file:
        data = file.read(INVITATION_BYTES_MAX + 1)
    try:
        return _parse(data)
    except (ValueError, KeyError, TypeError, RecursionError, CodecError) as error:
        raise Failure(
            Exit.USAGE, f"{path} is no invitation: {error}", "`isthmus federation invite` writes one"
        ) from error


def _parse(data: bytes) -> Invitation:
    if len(data) > INVITATION_BYTES_MAX:
        raise ValueError(f"it is larger than {INVITATION_BYTES_MAX} bytes")
    document = json.loads(data)
    if not isinstance(document, dict) or sorted(document) != sorted(_FIELDS):
        raise ValueError(f"it must have exactly {', '.join(_FIELDS)}")
    if (document["isthmus"], document["version"]) != (_KIND, _VERSION):
        raise ValueError(f"it is not an invitation of version {_VERSION}")
    body = bytes.fromhex(document["genesis"])
    if len(body) > GENESIS_BYTES_MAX:
        raise ValueError(f"its genesis has {len(body)} bytes, at most {GENESIS_BYTES_MAX} can be admitted")
    listed = tuple((bytes.fromhex(a["node_key"]), a["host"], a["port"]) for a in document["addresses"])
    invitation = Invitation(body, addresses_of(listed))
    identity = invitation.identity
    if (document["name"], document["cluster_id"]) != (identity.name, identity.cluster_id.hex()):
        raise ValueError(
            f"it names cluster {document['name']!r} ({document['cluster_id']}), "
            f"its genesis is that of {identity.name!r} ({identity.cluster_id.hex()})"
        )
    return invitation


def parse_addresses(texts: Iterable[str], node_keys: dict[str, bytes]) -> tuple[Address, ...]:
    """Addresses written NODE=HOST:PORT; `node_keys` are the validators' by name. Raises Failure."""
    found: dict[str, Address] = {}
    for text in texts:
        name, _, place = text.partition("=")
        host, _, port = place.rpartition(":")
        if name not in node_keys:
            raise Failure(
                Exit.USAGE,
                f"no validator is called {name!r}",
                f"write NODE=HOST:PORT; validators are {', '.join(node_keys)}",
            )
        try:
            number = int(port)
            (found[name],) = addresses_of(((node_keys[name], host.strip("[]"), number),))
        except (ValueError, CodecError) as error:
            raise Failure(Exit.USAGE, f"{text!r} is no NODE=HOST:PORT: {error}") from error
    if len(found) > ADDRESSES_MAX:
        raise Failure(Exit.USAGE, f"at most {ADDRESSES_MAX} addresses can be admitted, not {len(found)}")
    return tuple(found.values())
