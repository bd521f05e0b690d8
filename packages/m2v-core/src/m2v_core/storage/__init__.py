"""What is on disk: reading, checking and writing it."""
