"""What users pass to `fit` and `predict`, checked and turned into arrays."""
