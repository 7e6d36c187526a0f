"""TLS as a byte stream on Trio: a pump between a transport and the standard library's TLS engine.

`trio.SSLStream` hands out one record (16 KiB) a call with a scheduling point each, and closes without
sending the alert that says why a handshake failed. This pump decrypts everything that has arrived in one
go, which halves the cost of receiving a batch, and always sends the alert, so that a refused node is told.
It does nothing cryptographic itself. One task may send while another receives, as with any Trio stream.

On a TCP socket it reads when the socket is readable and not before, and `send_nowait` writes without a task:
each turn of the scheduler costs as much as a vote, and Trio's own socket calls cost another.
"""

import contextlib
import os
import ssl

import trio

RECEIVE_BYTES = 384 * 1024
"""Of ciphertext at once, and of plaintext: more than the largest frame has, so that a sealed batch of 256 KiB
comes whole and need not be put together (a seventh less CPU than in two pieces)."""


class TlsStream(trio.abc.Stream):
    """A stream with TLS on it. `do_handshake` comes first; errors of TLS are BrokenResourceError from an
    ssl.SSLError, as with trio.SSLStream; an end in the midst of a handshake is an ssl.SSLEOFError."""

    def __init__(self, transport: trio.abc.Stream, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._transport = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._engine = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._send_lock = trio.Lock()
        self._socket = transport.socket if isinstance(transport, trio.SocketStream) else None
        self._unsent: bytes | memoryview = b""  # ciphertext that `send_nowait` could not hand over

    async def do_handshake(self) -> None:
        """The handshake, alerts included; raises trio.BrokenResourceError."""
        while True:
            try:
                self._engine.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError as error:
                # The alert tells the other side why; if it cannot be told, the reason here is the same.
                with contextlib.suppress(trio.BrokenResourceError):
                    await self._flush()
                raise trio.BrokenResourceError from error
            else:
                await self._flush()
                return

    def peer_certificate(self) -> bytes | None:
        """The certificate the other side presented, DER."""
        return self._engine.getpeercert(binary_form=True)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends all of `data`."""
        try:
            self._engine.write(data)
        except ssl.SSLError as error:
            raise trio.BrokenResourceError from error
        await self._flush()

    def send_nowait(self, data: bytes | bytearray | memoryview) -> bool:
        """Encrypts all of `data` and sends what the socket takes at once.

        False when something is left, which `flush` must send before anything else is. Raises
        trio.BrokenResourceError.
        """
        try:
            self._engine.write(data)
        except ssl.SSLError as error:
            raise trio.BrokenResourceError from error
        if self._socket is None or self._unsent or self._send_lock.locked():
            return False
        ciphertext = self._outgoing.read()
        try:
            # The number is asked for each time: after a close it is -1, and never another file's.
            sent = os.write(self._socket.fileno(), ciphertext)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise trio.BrokenResourceError from error
        if sent < len(ciphertext):
            self._unsent = memoryview(ciphertext)[sent:]
            return False
        return True

    async def flush(self) -> None:
        """Sends what `send_nowait` has left; raises trio.BrokenResourceError."""
        await self._flush()

    async def wait_send_all_might_not_block(self) -> None:
        """Part of Trio's stream interface."""
        await self._transport.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """At least one byte of what arrived and at most `max_bytes`; empty after the other side's close."""
        limit = max_bytes or RECEIVE_BYTES
        while True:
            data = self._decrypt(limit)
            if self._outgoing.pending:
                await self._flush()
            if data is not None:
                return data
            await self._fill()

    async def aclose(self) -> None:
        """Closes the transport at once."""
        await self._transport.aclose()

    def _decrypt(self, limit: int) -> bytes | None:
        """All plaintext at hand up to `limit`, or None when more ciphertext is needed first."""
        pieces: list[bytes] = []
        while limit > 0:
            try:
                piece = self._engine.read(limit)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                return b"".join(pieces)
            except ssl.SSLError as error:
                if pieces:
                    break
                raise trio.BrokenResourceError from error
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            limit -= len(piece)
            if not self._incoming.pending and not self._engine.pending():
                break  # spares the exception
        return b"".join(pieces) if pieces else None

    async def _fill(self) -> None:
        """Waits for ciphertext."""
        data = await (self._transport.receive_some(RECEIVE_BYTES) if self._socket is None else self._read())
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _read(self) -> bytes:
        """What the socket has, once it has something; empty at its end."""
        assert self._socket is not None
        while True:
            if self._socket.fileno() < 0:
                raise trio.ClosedResourceError("this node closed the connection")
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return os.read(self._socket.fileno(), RECEIVE_BYTES)
            except BlockingIOError:
                continue  # readable no more: the kernel may say so in vain
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def _flush(self) -> None:
        """Sends the ciphertext at hand, in the order in which it was made."""
        async with self._send_lock:
            if self._unsent:
                unsent, self._unsent = self._unsent, b""
                await self._transport.send_all(unsent)
            data = self._outgoing.read()
            if data:
                await self._transport.send_all(data)
