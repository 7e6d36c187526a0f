"""The federation in the ledger: light clients, anchors, outboxes and lanes as state and header roots.

A system application like governance, always there: `deliver` what a courier brings, `accuse` a cluster that
forked, `recover` it (`app.py`). `keys` and `records` are what is stored, `changes` what operators decide,
`block` what one block comes to; `queries` and `serving` read from what is stored. Nothing of it is touched
while a cluster federates with nobody.
"""
