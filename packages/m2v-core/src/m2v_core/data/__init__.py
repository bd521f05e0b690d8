"""Tables, columns and what else users hold their data in."""
