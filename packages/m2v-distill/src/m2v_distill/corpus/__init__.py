"""Texts of a corpus, and the teacher's vectors of them on disk."""
