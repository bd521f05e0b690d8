"""Data of users: files of texts and labels, and columns of other libraries."""
