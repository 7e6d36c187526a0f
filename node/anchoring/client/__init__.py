"""The light client: what one ledger keeps of another cluster, and how that changes."""
