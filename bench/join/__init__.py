"""Joining: how long an empty node takes to a long chain, at which rate, and in how much memory."""
