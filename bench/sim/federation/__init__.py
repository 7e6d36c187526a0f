"""Federations in one thread from one seed: several clusters, their couriers, and what goes wrong.

A cluster here is its ledger with the keys that certify it: what consensus may do inside a cluster is the
business of the worlds of one cluster. Light client, lanes, couriers' plans and evidence are the shipped ones.
"""
