"""The name model2vec: the part of m2v-hub."""
