"""The `m2v` command."""
