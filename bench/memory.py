"""Peak memory of a capture by the number of prompts, beside the size of its result."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.sides import Answer, keep

FEW, MANY = 5_000, 20_000
CODE = """
import json, resource, sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from traitdrift.activations.capture import capture
from traitdrift.activations.positions import TokenizedConversation
from traitdrift.core.allocation import keep_freed_memory
keep_freed_memory()
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=512, hidden_size=512, intermediate_size=512, num_hidden_layers=12,
    num_attention_heads=8, num_key_value_heads=4,
)).bfloat16().eval()
count = int(sys.argv[1])
prompts = [
    TokenizedConversation([i % 500 for i in range(n, n + 6 + n % 7)], {"prompt_last": [5]}, "")
    for n in range(count)
]
capture(model, prompts[:800], 0, 4096)  # what is loaded and prepared once
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
streams = capture(model, prompts, 0, 4096)["prompt_last"]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([peak - before, streams.numel() * streams.element_size()]))
"""


def peak(prompts: int) -> tuple[int, int]:
    """By how many bytes a process grows that captures so many, and the bytes of its result."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(prompts)], check=True, capture_output=True, text=True
    )
    most, result = json.loads(done.stdout)
    return most, result


def main() -> None:
    (few, small), (many, large) = peak(FEW), peak(MANY)
    keep(
        Answer(
            f"memory, capture of {FEW} and of {MANY} prompts, 12 layers, width 512",
            "the growth of the result",
            (many - few) / 1e6,
            (large - small) / 1e6,
            1.0,
            "megabytes, not seconds",
        )
    )


if __name__ == "__main__":
    main()
