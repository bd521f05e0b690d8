"""Model cards: what a model is, and the text that says so."""
