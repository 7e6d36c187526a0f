"""Twins: two instances of one identity, run by the shipped code: the strongest cheap Byzantine validator.

Both hold the same key and know nothing of each other, so together they vote twice, propose twice and forget
what they said; partitions and leaders decide who hears which of them (arXiv 2004.10617). Read `scenario.py`
(what is played), `executor.py` (how), `oracles.py` (what must never be), `enumeration.py` (which are played).
"""
