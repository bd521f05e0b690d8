"""Write `teachers/<case>/`: a tiny teacher as transformers saves it, and what PyTorch computes from it.

Run it where torch and transformers are installed, from anywhere:

    python tests/golden/make_teachers.py             # all golden cases
    python tests/golden/make_teachers.py bert mpnet  # some

`expected.safetensors` holds ids, mask, every hidden state and the pooler's output, for a batch with padding.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))
from golden.families import CASES, GOLDEN_CASES

HERE = Path(__file__).parent / "teachers"


def make_model(case: str, seed: int = 0, **options: Any) -> Any:
    """A random model of a case in evaluation mode; biases and norms are random too, `options` are the config's."""
    shape = CASES[case]
    torch.manual_seed(seed)
    config = getattr(transformers, shape.config)(**{**shape.options, **options})
    model = getattr(transformers, shape.model)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.normal_(mean=float("norm" in name.lower() and name.endswith("weight")), std=0.3)
            else:
                parameter.normal_(std=shape.std)
    return model


def make_batch(
    model: Any, lengths: tuple[int, ...], seed: int = 1, padding: str = "right"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids [n, longest] padded at one side, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, model.config.vocab_size, (len(lengths), max(lengths)), generator=generator)
    mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    if padding == "left":
        mask = mask.flip(1)
    return ids.masked_fill(~mask, model.config.pad_token_id), mask


def run(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Every hidden state, and the pooler's output if there is one."""
    with torch.inference_mode():
        out = model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
    return list(out.hidden_states), getattr(out, "pooler_output", None)


def main() -> None:
    """Write all golden cases."""
    for case in sys.argv[1:] or GOLDEN_CASES:
        folder = HERE / case
        shutil.rmtree(folder, ignore_errors=True)
        model = make_model(case)
        model.save_pretrained(folder)
        ids, mask = make_batch(model, (9, 1, 4), padding=CASES[case].padding)
        states, pooled = run(model, ids, mask)
        expected = {"ids": ids, "mask": mask, **{f"hidden.{i}": state for i, state in enumerate(states)}}
        if pooled is not None:
            expected["pooled"] = pooled
        save_file({name: tensor.contiguous() for name, tensor in expected.items()}, folder / "expected.safetensors")
        print(case, sum(file.stat().st_size for file in folder.iterdir()), "bytes")


if __name__ == "__main__":
    main()
