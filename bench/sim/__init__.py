"""A world in one seed: whole clusters of the shipped validator in one thread.

Time, network and disk are virtual. The same seed gives the same trace in every process.
"""
