"""How connections come to be: listening, dialling, the handshake, and which connection of a peer stays.

One TCP connection a pair. The node with the smaller id dials; the other one waits `dial_patience_ms`
longer, so that it only dials when it is not dialled. Everything before admission is bounded: the number of
unauthenticated connections and of handshakes a second (`doorstep.py`), the bytes read, and the time.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import trio

from p2p.config import P2PConfig, Priority
from p2p.connection import GOODBYE, KEY_TWICE, Connection, control, exchange_hello
from p2p.doorstep import Doorstep, address_group
from p2p.errors import (
    ConnectionLost,
    DuplicateConnection,
    HandshakeTimeout,
    InternalFault,
    P2PError,
    PeerBanned,
    PeerError,
    SelfConnection,
    UntrustedPeer,
    WrongPeer,
)
from p2p.hello import Hello, common_version
from p2p.identity import PeerId
from p2p.link import Link
from p2p.peers import Choice, choose
from p2p.tls import TlsContexts, handshake
from p2p.tlsstream import TlsStream

_LOG = logging.getLogger("p2p")


class Sessions:
    """Makes and keeps the connections of one node."""

    def __init__(
        self,
        config: P2PConfig,
        own: PeerId,
        contexts: TlsContexts,
        links: Mapping[PeerId, Link],
        hello: Hello,
    ) -> None:
        """`links` are those of members and of foreign peers; it is read at every handshake."""
        self._config = config
        self._own = own
        self.contexts = contexts
        """Whom TLS trusts from the next connection on."""
        self._links = links
        self._hello = hello
        self.doorstep = Doorstep(config)
        self.failed_handshakes = 0
        """Inbound connections that ended before they were admitted."""
        self.last_refused = ""
        """Why the latest of them ended, in words: a stranger has no status of its own."""
        self.internal_faults = 0

    async def accept(self, transport: trio.SocketStream) -> None:
        """Serves one inbound connection from its first byte to its end."""
        host = _remote_host(transport)
        source = address_group(host)
        if not self.doorstep.lets_in(source, now_ms()):
            await trio.aclose_forcefully(transport)
            return
        await self._session(transport, None, f"connection from {host}", source)

    async def keep_dialled(self, link: Link) -> None:
        """Dials a peer whenever it is not connected, while it is a member with an address; once a peer."""
        if link.dialling:
            return
        link.dialling = True
        try:
            await self._keep_dialled(link)
        finally:
            link.dialling = False

    async def _keep_dialled(self, link: Link) -> None:
        patience_ms = 0 if self._own < link.peer else self._config.dial_patience_ms
        delay_ms = patience_ms
        while not link.retired and (address := link.address) is not None:
            delay_ms = max(delay_ms, link.standing.banned_for_ms(now_ms()))
            with trio.move_on_after(delay_ms / 1000):
                await link.connected.wait()
            if link.connection is not None:
                await link.connection.gone.wait()
            elif not link.retired:
                await self._dial(link, address.host, address.port)
            delay_ms = patience_ms + link.backoff.next_delay_ms()

    async def _dial(self, link: Link, host: str, port: int) -> None:
        try:
            with trio.fail_after(self._config.handshake_timeout_ms / 1000):
                transport = await trio.open_tcp_stream(host, port)
        except trio.TooSlowError:
            link.failed(HandshakeTimeout(f"no answer from {host}:{port}", link.name), now_ms())
        except OSError as error:
            link.failed(ConnectionLost(f"cannot connect to {host}:{port}: {error}", link.name), now_ms())
        else:
            await self._session(transport, link, link.name, None)

    async def _session(
        self, transport: trio.abc.Stream, dialled: Link | None, who: str, source: str | None
    ) -> None:
        """One connection, whole; `dialled` is whom we meant to reach, `source` who is charged for waiting.

        The connection's edge: a peer's faults end here as the reason of the connection's end, and bugs of
        ours that a peer's bytes have reached are logged with their trace and counted, never silent.
        """
        link, admitted = dialled, None
        try:
            with trio.CancelScope() as place, self.doorstep.waiting(source, place.cancel):
                stream, link = await self._authenticate(transport, dialled, who)
                if source is not None:
                    self.doorstep.known.add(source, link.peer, is_member=not link.realm.foreign)
                connection, early = await self._introduce(stream, link, dialled_by_us=dialled is not None)
                admitted = connection, link, early
            if admitted is None:
                raise HandshakeTimeout("others waited, and its address held most places to wait in", who)
            await self._live(*admitted)
        except PeerError as error:
            if dialled is None:
                self.failed_handshakes += 1
                self.last_refused = str(error)
            if link is not None:
                link.failed(error, now_ms())
        except Exception as error:
            _LOG.exception("bug reached by %s", who)
            self.internal_faults += 1
            if link is not None:
                link.failed(InternalFault(f"internal error, please report it: {error!r}"), now_ms())
        finally:
            await trio.aclose_forcefully(transport)

    async def _authenticate(
        self, transport: trio.abc.Stream, dialled: Link | None, who: str
    ) -> tuple[TlsStream, Link]:
        """TLS: whose key is it, and may it talk to us."""
        stream = self.contexts.wrap(transport, server_side=dialled is None)
        with self._deadline(who):
            peer = await handshake(stream, who)
        if peer == self._own:
            raise SelfConnection("the address leads back to this node: correct the peer's address", who)
        link = self._links.get(peer)
        if link is None:
            raise UntrustedPeer(f"its key {peer.hex()[:12]} is not one of the pinned node keys", who)
        if dialled is not None and link is not dialled:
            raise WrongPeer(
                f"expected its key {dialled.peer.hex()[:12]}, found {link.name} with key {peer.hex()[:12]}",
                who,
            )
        return stream, link

    async def _introduce(
        self, stream: TlsStream, link: Link, *, dialled_by_us: bool
    ) -> tuple[Connection, bytes]:
        """The hello both ways and the choice between connections; answers the admitted connection."""
        realm = link.realm
        with self._deadline(link.name):
            banned_ms = link.standing.banned_for_ms(now_ms())
            if banned_ms:
                await _say_goodbye(stream, f"you are banned for another {banned_ms // 1000 + 1} s")
                raise PeerBanned(f"it is banned for another {banned_ms // 1000 + 1} s", link.name)
            theirs, early = await exchange_hello(
                stream, self._hello, link.name, speaks_first=not dialled_by_us
            )
            realm.check(theirs, self._hello, link.name)
            link.key_use.heard(theirs.instance, now_ms())
        while (old := link.connection) is not None or not realm.inbox.room_for(link.peer, Priority.URGENT):
            if old is None:
                await realm.inbox.wait_for_room(link.peer, Priority.URGENT)
                continue
            choice = choose(
                self._own,
                link.peer,
                old_dialled_by_us=old.dialled_by_us,
                old_instance=old.hello.instance,
                new_dialled_by_us=dialled_by_us,
                new_instance=theirs.instance,
            )
            if choice is Choice.REFUSE:
                with self._deadline(link.name):
                    await _say_goodbye(stream, "duplicate connection")
                raise DuplicateConnection("it is already connected", link.name)
            if theirs.instance != old.hello.instance:
                old.say_goodbye(KEY_TWICE)
            old.end(ConnectionLost("replaced by a newer connection", link.name))
            await old.gone.wait()
        if link.retired:
            raise UntrustedPeer("it is no longer a member", link.name)
        connection = Connection(
            stream,
            link.peer,
            link.name,
            theirs,
            protocol_version=None if realm.foreign else common_version(theirs, self._hello),
            dialled_by_us=dialled_by_us,
            queue=realm.new_queue(),
            rules=realm.rules,
            forbidden=realm.forbidden,
            pace=realm.new_pace(),
            now_ms=now_ms(),
        )
        link.opened(connection)
        return connection, early

    async def _live(self, connection: Connection, link: Link, early: bytes) -> None:
        """The admitted connection until its end."""
        reason: P2PError = ConnectionLost("this node stopped", link.name)
        owner = link.realm.owner
        owner.opened(connection)
        try:
            reason = await connection.run(owner.handle, early)
        except Exception as error:
            reason = InternalFault(f"internal error, please report it: {error!r}")
            raise
        finally:
            link.closed(reason, now_ms())
            owner.closed(connection, reason)
            connection.gone.set()

    @contextmanager
    def _deadline(self, who: str) -> Iterator[None]:
        """The time limit of a handshake step, as a peer's error."""
        try:
            with trio.fail_after(self._config.handshake_timeout_ms / 1000):
                yield
        except trio.TooSlowError as error:
            raise HandshakeTimeout(
                f"the handshake took more than {self._config.handshake_timeout_ms} ms", who
            ) from error


def now_ms() -> int:
    """Monotonic milliseconds of the running Trio clock."""
    return int(trio.current_time() * 1000)


async def _say_goodbye(stream: trio.abc.Stream, reason: str) -> None:
    """Best effort: the other side learns why."""
    try:
        await stream.send_all(control(GOODBYE, reason.encode()))
    except trio.BrokenResourceError:
        _LOG.debug("the peer was gone before it could be told: %s", reason)


def _remote_host(transport: trio.SocketStream) -> str:
    try:
        return str(transport.socket.getpeername()[0])
    except OSError:
        return "an address already gone"
