"""The bundle: one file in which a fact leaves a cluster, and its check offline."""
