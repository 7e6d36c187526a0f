"""One machine: a whole cluster as separate processes under a supervisor, for demos, tests and learning.
Beyond one machine the tools of `deploy/` start the daemons."""
