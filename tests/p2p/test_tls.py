"""Who gets through TLS: pinned keys, and nobody else, on both sides."""

import ssl

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from trio.testing import memory_stream_pair

from p2p import ConfigError, NodeIdentity, PeerId
from p2p.connection import exchange_hello
from p2p.errors import P2PError, PeerError, RefusedByPeer, UntrustedPeer
from p2p.identity import issue
from p2p.tls import TlsContexts, authenticated_key, handshake
from tests.p2p.nodes import PATIENCE, make_identities
from tests.p2p.strangers import make_hello

SERVER, CLIENT, OTHER = make_identities(3)


class Forger(NodeIdentity):
    """Holds its own key and presents a certificate of the test's choice."""

    def __init__(self, key_of: NodeIdentity, presented: x509.Certificate) -> None:
        super().__init__(key_of._key)
        self.__dict__["certificate"] = presented


async def meet(server: TlsContexts, client: TlsContexts) -> tuple[PeerId | P2PError, PeerId | P2PError]:
    """Handshake and hello of both sides; answers what the server and the client found."""
    left, right = memory_stream_pair()
    found: dict[bool, PeerId | P2PError] = {}

    async def side(contexts: TlsContexts, transport: trio.abc.Stream, server_side: bool) -> None:
        stream = contexts.wrap(transport, server_side=server_side)
        try:
            peer = await handshake(stream, "the other")
            await exchange_hello(stream, make_hello(), "the other", speaks_first=server_side)
            found[server_side] = peer
        except PeerError as error:
            found[server_side] = error
            await transport.aclose()

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(side, server, left, True)
            nursery.start_soon(side, client, right, False)
    return found[True], found[False]


async def test_two_nodes_that_pin_each_other_learn_each_others_key() -> None:
    at_server, at_client = await meet(
        TlsContexts(SERVER, [CLIENT.peer_id, OTHER.peer_id]), TlsContexts(CLIENT, [SERVER.peer_id])
    )
    assert at_server == CLIENT.peer_id
    assert at_client == SERVER.peer_id


async def test_an_unpinned_client_is_refused_and_learns_it_at_its_first_read() -> None:
    at_server, at_client = await meet(
        TlsContexts(SERVER, [OTHER.peer_id]), TlsContexts(CLIENT, [SERVER.peer_id])
    )
    assert isinstance(at_server, UntrustedPeer)
    assert "not one of the pinned node keys" in str(at_server)
    assert isinstance(at_client, RefusedByPeer)
    assert "it does not know our node key" in str(at_client)


async def test_an_unpinned_server_is_refused_by_the_client() -> None:
    at_server, at_client = await meet(
        TlsContexts(SERVER, [CLIENT.peer_id]), TlsContexts(CLIENT, [OTHER.peer_id])
    )
    assert isinstance(at_client, UntrustedPeer)
    assert "not one of the pinned node keys" in str(at_client)
    assert isinstance(at_server, UntrustedPeer)


async def test_the_right_form_with_the_wrong_key_is_refused() -> None:
    """A certificate that claims a pinned key's name, made with another key."""
    forged = issue(OTHER.peer_id, "isthmus node", CLIENT.peer_id.hex(), OTHER._key, authority=False)
    at_server, _ = await meet(
        TlsContexts(SERVER, [CLIENT.peer_id]), TlsContexts(Forger(OTHER, forged), [SERVER.peer_id])
    )
    assert isinstance(at_server, UntrustedPeer)
    assert "certificate signature failure" in str(at_server)


async def test_the_copied_certificate_of_a_pinned_node_is_useless_without_its_key() -> None:
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        TlsContexts(Forger(OTHER, CLIENT.certificate), [SERVER.peer_id])


async def test_a_copied_anchor_is_useless_too() -> None:
    copied = issue(CLIENT.peer_id, CLIENT.peer_id.hex(), "isthmus local anchor", OTHER._key, authority=True)
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        TlsContexts(Forger(OTHER, copied), [SERVER.peer_id])


async def test_a_key_certified_by_a_pinned_key_is_named_as_what_it_is() -> None:
    """The caller compares the answered key with the pinned set (Sessions does; see test_network)."""
    delegated = issue(OTHER.peer_id, "isthmus node", CLIENT.peer_id.hex(), CLIENT._key, authority=False)
    at_server, _ = await meet(
        TlsContexts(SERVER, [CLIENT.peer_id]), TlsContexts(Forger(OTHER, delegated), [SERVER.peer_id])
    )
    assert at_server == OTHER.peer_id


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_a_client_without_certificate_are_refused(version: ssl.TLSVersion) -> None:
    server = TlsContexts(SERVER, [CLIENT.peer_id])
    client = TlsContexts(CLIENT, [SERVER.peer_id])
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname = False
    bare.verify_mode = ssl.CERT_NONE
    bare.minimum_version = bare.maximum_version = version
    client.client = bare
    at_server, at_client = await meet(server, client)
    assert isinstance(at_server, UntrustedPeer)
    assert isinstance(at_client, PeerError)
    words = "unsupported protocol" if version == ssl.TLSVersion.TLSv1_2 else "did not return a certificate"
    assert words in str(at_server)


async def test_a_certificate_over_another_kind_of_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = CLIENT.certificate.subject
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(CLIENT.certificate.not_valid_before_utc)
        .not_valid_after(CLIENT.certificate.not_valid_after_utc)
        .sign(CLIENT._key, None)
    )
    with pytest.raises(UntrustedPeer, match="does not hold an Ed25519 key"):
        authenticated_key(certificate.public_bytes(serialization.Encoding.DER), "node-2")
    with pytest.raises(UntrustedPeer, match="cannot be read"):
        authenticated_key(b"not a certificate", "node-2")
    with pytest.raises(UntrustedPeer, match="no certificate"):
        authenticated_key(None, "node-2")


def test_trust_never_expires_by_wall_clock() -> None:
    assert SERVER.certificate.not_valid_before_utc.year == 1970
    assert SERVER.certificate.not_valid_after_utc.year == 9999


def test_a_certificate_is_a_function_of_the_seed() -> None:
    seed = bytes(range(32))
    one, two = NodeIdentity.from_seed(seed), NodeIdentity.from_seed(seed)
    assert one.certificate_der == two.certificate_der
    assert one.peer_id == two.peer_id
    assert seed.hex() not in repr(one)
    with pytest.raises(ValueError, match="32 bytes"):
        NodeIdentity.from_seed(seed[:31])


def test_a_pinned_key_of_the_wrong_size_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="not an Ed25519 public key"):
        TlsContexts(SERVER, [PeerId(bytes(31))])
