"""Training on a device: batches, steps and the loop."""
