"""Governance: operators propose, approve and carry out changes of their cluster, on its ledger (F13).

`changes` what may change; `proposals` and `session` what is kept; `outcome` when it is carried out; `app` the
methods that transactions call; `queries` and `history` what others read.
"""
