"""A program that does what heavy stages do with tiny models, alone or under `torchrun`.

Writes what main has in the end to the file named on the command line, and what each process has
left to write beside it, if it goes on.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import tiny
import torch
from safetensors.torch import save_file
from tiny_finetune import RECIPE, rows

from traitdrift.activations.capture import capture, capture_means
from traitdrift.activations.positions import teacher_force
from traitdrift.core.ranks import others_end, rank
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import generate
from traitdrift.steering.generation import generate_steered, log_probabilities
from traitdrift.steering.interventions import Intervention
from traitdrift.training.backends import by_peft, prepare
from traitdrift.training.lora import finetune

POSITIONS = ["prompt_last", "prompt_mean", "response_mean"]
WORDS = ["hi", "a longer question", "why", "tell me about the sea", "what now", "middling words"]


def trained(accumulation: int) -> tuple[dict[str, torch.Tensor], list[float]]:
    recipe = RECIPE.model_copy(
        update={
            "batch_size": 2,
            "gradient_accumulation": accumulation,
            "group_by_length": False,
            "max_steps": 8,
        }
    )
    prepare(recipe, layers=3)
    model = by_peft(tiny.llama(), recipe)
    with tempfile.TemporaryDirectory() as scratch:
        losses = finetune(model, rows(), recipe, tiny.tokenizer(), scratch)
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}, losses


def main(out: Path, accumulation: int) -> None:
    torch.set_num_threads(1)
    tokenizer, model = tiny.tokenizer(), tiny.llama()
    conversations = [
        teacher_force(tokenizer, [{"role": "user", "content": text}], list(b"yes, " * n), POSITIONS)
        for n, text in enumerate(WORDS, start=1)
    ]
    requests = [SamplingRequest(list(text.encode()), 1.0, seed=text) for text in WORDS]
    vector = torch.nn.functional.normalize(torch.ones(32), dim=0)
    interventions = [Intervention("none"), Intervention("add", "add", 2.0, vector)]
    streams = capture(model, conversations, 257, 150)
    means = capture_means(model, conversations, [[[0, 3], [5]], [[1]], [[2], [4]]], 257, 150)
    answers = generate(model, requests, 10, 257, 60)
    steered = generate_steered(model, requests, interventions, 1, "all", vector, 6, 257, 60)
    texts = [list(text.encode()) for text in WORDS]
    log_probability = log_probabilities(model, texts, interventions, 1, 257, 60)
    weights, losses = trained(accumulation)
    (out.parent / f"{out.stem}.{rank()}").touch()
    others_end()
    tensors = {
        **{f"capture/{name}": stream for name, stream in streams.items()},
        **{f"means/{name}": stream for name, stream in means.items()},
        **{f"weights/{name}": weight for name, weight in weights.items()},
        "projection": steered.projection,
        "last_projection": steered.last_projection,
        "finite": steered.finite,
        "log_probability": log_probability,
    }
    told = json.dumps({"answers": answers, "steered": steered.ids, "losses": losses})
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out, {"told": told})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
