"""The ledger: what ordered transactions do to the state, and the headers that say so.

`transactions`, `receipts` and `header` are the encoded things; `codes` the outcomes; `members`, `policy` and
`replay` the rules; `apps` what can be called; `state` and `execution` the machine. Pure: blocks in,
executions out. Import the files one needs: a verification worker takes `transactions` without the rest.
"""
