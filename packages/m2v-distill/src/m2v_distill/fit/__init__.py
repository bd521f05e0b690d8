"""Tables fitted to the teacher's vectors: linear algebra on arrays alone."""
