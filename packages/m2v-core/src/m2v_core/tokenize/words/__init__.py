"""Words to token ids on plain arrays: the models of the tokenizers library, without an object for each token."""
