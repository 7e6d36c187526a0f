"""A world in one seed: whole clusters of the shipped validator in one thread, with virtual time, network and disk.

The same seed gives the same trace in every process.
"""
