"""Damaged files of strangers: mutations of whole folders, and what loading and using them comes to."""
