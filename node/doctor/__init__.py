"""Checks before a start: everything about a home, its machine and its neighbours that would go wrong later.

Each check looks at one thing and answers with findings, never with an exception, so that one broken thing
hides no other; nothing is changed, and a node that runs is not disturbed.
"""
