"""A cluster that certified two histories: finding it, proving it, and beginning again after it."""
