"""What a transaction costs, phase by phase: where the daemons of a cluster spend their CPU under load."""
