"""`isthmus-bench scale`: what a round costs a replica as the cluster grows, against the arithmetic."""
