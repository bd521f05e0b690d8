"""The commands `m2v pull`, `m2v push` and `m2v card`."""
