"""The federation in a running node: links to nodes of other clusters, and the couriers that pull from them.

`federation` keeps one `courier` for each admitted cluster and tells the links whom to expect (`directory`);
`exchange` matches questions and answers, `answering` serves what others ask, `ledgerside` is what all of it
reads of our own ledger. Safety never depends on any of it (F12).
"""
