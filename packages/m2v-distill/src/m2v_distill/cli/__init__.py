"""The commands `m2v distill` and `m2v featurize`."""
