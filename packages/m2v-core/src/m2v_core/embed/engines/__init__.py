"""The same vectors inside other engines, a module for each, which needs its library and which nothing imports here.

Ray Data, and whatever else runs a function on batches, needs none: `m2v_core.embed.BatchEmbedder` is that function. All
modules take a model, or a folder that each worker can read, and the options of `EmbedConfig` that decide the vectors.
"""
