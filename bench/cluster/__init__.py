"""`isthmus-bench cluster`: real daemons under honest load, measured from the outside."""
