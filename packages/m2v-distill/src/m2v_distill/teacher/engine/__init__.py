"""Token ids through a teacher: batches, devices, and what a killed run has finished."""
