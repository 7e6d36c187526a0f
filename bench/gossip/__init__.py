"""Gossip between processes, with real sockets and TLS."""
