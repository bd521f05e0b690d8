"""Files of models: reading, checking and writing them."""
