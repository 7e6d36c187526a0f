"""Every bound of the HTTP door, in one place, so that each can be stated in an error and exported.

The HTTP server underneath has no limit on bodies, connections or the time a peer may take; these are
ours. Bodies of all requests together share one budget, because connections times the largest body would
be more memory than a small machine has.
"""

from dataclasses import dataclass

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """All bounds; sizes in bytes, times in milliseconds."""

    connections_max: int = 256
    connections_per_address: int = 64
    """Of one address that is not loopback (an IPv6 address counts by its /64)."""
    requests_per_second: int = 500
    """Of one address that is not loopback; 0 means any number."""
    requests_burst: int = 2_000
    """The same at once after a pause."""
    addresses_max: int = 4_096
    """Addresses remembered for their allowance of requests."""
    limits_loopback: bool = False
    """Whether loopback addresses are limited like others."""
    connection_requests_max: int = 100_000
    """Requests of one connection before it is closed in good order, so that load moves between nodes."""
    header_bytes_max: int = 16 * _KIB
    header_timeout_ms: int = 10_000
    """From the first byte of a request, or its turn where it came before that, to the end of its header."""
    idle_timeout_ms: int = 60_000
    """Between two requests of one connection."""
    body_slack_bytes: int = 4 * _KIB
    """What a request may hold beside one transaction of the largest accepted size, in either form; so much is
    taken and forgotten where no body is wanted."""
    bulk_bytes_max: int = 8 * _MIB
    bulk_transactions_max: int = 20_000
    bodies_bytes_max: int = 64 * _MIB
    """Bodies of all requests being read or answered now."""
    body_timeout_ms: int = 30_000
    body_piece_bytes: int = 256 * _KIB
    """Read at once of a body whose length is known: each piece costs its way through the server. Of others a
    header's worth."""
    write_timeout_ms: int = 10_000
    """For each 8 KiB of an answer until the reader's system took them."""
    write_piece_bytes: int = 64 * _KIB
    linger_ms: int = 1_000
    """How long a connection closed early is still read and thrown away, so that the answer arrives."""
    half_closed_ms: int = 1_000
    """How long what a client asked for goes on once it has closed its side: it may wait for the answer, or be
    gone, and says the same of both. An answer that is whole by then is sent to its end."""
    waits_max: int = 1_024
    """Requests that wait for a certificate or a height at once."""
    wait_default_ms: int = 10_000
    wait_max_ms: int = 60_000
    reads_max: int = 4
    """Snapshot reads at once, each in a worker thread."""
    page_max: int = 200
    """Entries of one list answer."""
    streams_max: int = 64
    stream_batch_events: int = 256
    stream_batch_ms: int = 30_000
    """How long a subscriber may take for so many events before its stream is ended with a reason."""
    keep_alive_ms: int = 15_000
    """A comment is sent on an event stream that was quiet this long."""
    shutdown_grace_ms: int = 2_000
    """For answers under way when the node stops; what waits, or sends a request, is answered at once."""
    shutdown_linger_ms: int = 100
    """The same as `linger_ms` then."""
    no_room_pause_ms: int = 250
    """How long the answer waits of which something was refused for want of room: whoever comes again at once
    is served four times a second on each connection, however cheap refusing is."""
    retry_after_ms: int = 1_000
    """What a busy answer advises."""
