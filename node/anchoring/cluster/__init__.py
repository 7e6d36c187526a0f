"""What a cluster shows of itself: who it is, what it certified, who certifies next, what it saw of others."""
