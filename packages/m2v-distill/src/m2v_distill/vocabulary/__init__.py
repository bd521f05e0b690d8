"""The student's vocabulary, and how much each token counts."""
