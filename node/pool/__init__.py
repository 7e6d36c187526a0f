"""The data plane: what may be ordered, who holds it, and how a node that was away catches up.

Transactions come in at the door (`admission`), are sealed into batches (`sealing`, `batches`), sent to all
validators, verified, made durable and acknowledged (`pool`, `shelf`); blocks name batches by digest or carry
small ones whole (`payload`). A block gets a vote only when all it names is held here (`checking`), and
what is missing is fetched for as long as it takes (`fetching`). `catchup` follows certified headers of others
and `serving` answers those who do the same. Everything here is pure: told what happened, with the wall
clock as an argument, it answers with the effects of `effects.py`, in order.

Nothing is imported here on purpose: worker processes import `node.pool.batches` alone and start fast.
"""
