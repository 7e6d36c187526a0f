"""HTTP in: one node's answers for people, programs and probes, read from storage snapshots.

`app.build_api(backend, ...)` makes the application, `server.bind_listener` and `server.serve_api` serve it,
`backend.Backend` is what the daemon implements. Nothing is imported here: clients share the answer types
(`views.py`, `shapes.py`) and must not pay for a server.
"""
