"""The command `m2v train`."""
