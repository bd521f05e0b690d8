"""Teachers: sentence transformers that m2v-distill runs itself, as Flax modules, or through PyTorch.

`teacher.py` has the class that everything else uses; `interface.py` has the interface of its encoder.
"""
