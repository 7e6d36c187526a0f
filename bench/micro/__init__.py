"""What one operation costs, alone: the parts of the hot path, one file a noun below `subjects/`.

A figure is CPU microseconds an operation, the median of several runs, each as long as its share of the time
given; subjects that wait for a disk are timed by the wall clock and say so. Two revisions are compared by
letting them alternate, because on a shared machine only ratios taken close together mean anything.
"""
