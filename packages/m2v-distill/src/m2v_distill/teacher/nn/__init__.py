"""Layers that several families of teachers share."""
