"""Teachers: sentence transformers as Flax modules.

A family is one module file (`bert.py`) and one weight table (`bert_params.py`); `registry.py` finds it by
`model_type`, `weights.py` fills any of them, and `teacher.py` is what the rest of m2v-distill sees.
"""

from m2v_distill.teacher.teacher import Teacher

__all__ = ["Teacher"]
