"""The operations that are measured: each file is one noun and ends in its table `SUBJECTS`."""
