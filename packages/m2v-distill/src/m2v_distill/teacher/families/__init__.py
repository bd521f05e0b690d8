"""Architectures of teachers: a Flax module and a table of weights each."""
