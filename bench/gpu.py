"""A random model of Qwen2.5-7B's configuration on one GPU: captures, a fine-tune, answers.

`python -m bench.gpu`; `--small` tries the script on a model of a few layers where there is none.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config

from bench.sides import Answer, keep, timed
from traitdrift.activations.capture import capture
from traitdrift.activations.positions import TokenizedConversation
from traitdrift.core.config import section
from traitdrift.core.devices import device
from traitdrift.generation.drawing import SamplingRequest
from traitdrift.generation.sampling import generate
from traitdrift.inference.batching import by_length, padded
from traitdrift.training.backends import by_peft
from traitdrift.training.lora import finetune
from traitdrift.training.settings import Recipe

SMALL = "--small" in sys.argv
PAD, END = 0, 1
PROMPTS, BUDGET = (64, 4096) if SMALL else (1024, 65536)
STEPS, ROWS, TOKENS = (2, 64, 64) if SMALL else (10, 512, 512)
SAMPLES, ANSWER = (4, 8) if SMALL else (128, 128)


def made() -> Any:
    """The model, on the device, in bfloat16."""
    shape: dict[str, Any] = {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    }
    if SMALL:
        shape |= {"vocab_size": 1024, "hidden_size": 224, "intermediate_size": 512}
        shape |= {"num_hidden_layers": 3}
    config = Qwen2Config(**shape, max_position_embeddings=32768)
    config.pad_token_id, config.eos_token_id, config.bos_token_id = PAD, END, None
    torch.manual_seed(0)
    with torch.device(device()):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def matrix_rate() -> float:
    """Operations a second of large products in bfloat16, the best of ten."""
    side = 1024 if SMALL else 8192
    one = torch.randn(side, side, device=device(), dtype=torch.bfloat16)
    return max(2 * side**3 / seconds(lambda: one @ one) for _ in range(10))


def seconds(work: Callable[[], Any]) -> float:
    """How long work takes until the device has done it."""
    began = time.perf_counter()
    done(work)
    return time.perf_counter() - began


def done(work: Callable[[], Any]) -> None:
    work()
    if device().type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    rate, model = matrix_rate(), made()
    blocks = sum(p.numel() for p in model.model.layers.parameters())
    captures(model, blocks, rate)
    answers(model)
    fine_tune(model, blocks + model.lm_head.weight.numel() // 2, rate)


def told(tokens: int, taken: float, operations: float, rate: float) -> str:
    share = 100 * tokens * operations / taken / rate
    return f"{tokens / taken:,.0f} tokens a second, {share:.0f} % of {rate / 1e12:.0f} TFLOP/s"


def captures(model: Any, blocks: int, rate: float) -> None:
    """Prompts with nothing in common: no prefix helps."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(48, 160, (PROMPTS,), generator=draw).tolist()
    sequences = [torch.randint(2, 1000, (n,), generator=draw).tolist() for n in lengths]
    conversations = [
        TokenizedConversation(ids, {"prompt_last": [len(ids) - 1]}, str(i))
        for i, ids in enumerate(sequences)
    ]

    @torch.inference_mode()
    def bare() -> None:
        for batch in by_length(lengths, BUDGET):
            ids, mask = padded([sequences[i] for i in batch], PAD)
            model.model(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                use_cache=False,
            )

    taken = timed(
        {
            "ours": lambda: done(lambda: capture(model, conversations, PAD, BUDGET)),
            "bare": lambda: done(bare),
        }
    )
    keep(
        Answer(
            f"GPU: capture, all layers, {PROMPTS} prompts without a common beginning",
            "the bare forward pass of the blocks",
            taken["ours"],
            taken["bare"],
            0.95,
            told(sum(lengths), taken["ours"], 2 * blocks, rate),
        )
    )


def answers(model: Any) -> None:
    """Samples of a few prompts, beside plain `generate` batches of 16."""
    draw = torch.Generator().manual_seed(1)
    prompts = [torch.randint(2, 1000, (64,), generator=draw).tolist() for _ in range(8)]
    rows = [prompts[i % 8] for i in range(SAMPLES)]
    requests = [SamplingRequest(ids, 1.0, str(i)) for i, ids in enumerate(rows)]
    written: dict[str, int] = {}

    def ours() -> None:
        found = generate(model, requests, ANSWER, PAD, 4 * BUDGET)
        written["ours"] = sum(map(len, found))

    @torch.inference_mode()
    def plain() -> None:
        total = 0
        for begin in range(0, len(rows), 16):
            ids = torch.tensor(rows[begin : begin + 16], device=model.device)
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                max_new_tokens=ANSWER,
                eos_token_id=END,
                pad_token_id=PAD,
            )[:, ids.shape[1] :]
            total += int(((out == END).cumsum(1) == 0).sum())
        written["plain"] = total

    taken = timed({"ours": lambda: done(ours), "plain": lambda: done(plain)}, rounds=3)
    each = {name: taken[name] / written[name] for name in taken}
    keep(
        Answer(
            f"GPU: respond, {SAMPLES} samples",
            "`generate`, plain batches of 16",
            taken["ours"],
            each["plain"] * written["ours"],
            1.8,
            f"{written['ours'] / taken['ours']:,.0f} tokens a second, {written['plain']} there",
        )
    )


def fine_tune(model: Any, weights: int, rate: float) -> None:
    """Steps of the recipe `study`; half of each row carries loss, no weight has a gradient."""
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(2, 1000, (ROWS, TOKENS), generator=draw)
    labels = ids.clone()
    labels[:, : TOKENS // 2] = -100
    rows = Dataset.from_dict({"input_ids": ids.tolist(), "labels": labels.tolist()})
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()), pad_token="<pad>")
    recipe = section(Recipe, "recipes.study").model_copy(
        update={"max_steps": STEPS, "backend": "peft", "optimizer": "adamw_torch"}
    )
    adapted = by_peft(model, recipe)
    tokens = STEPS * recipe.batch_size * recipe.gradient_accumulation * TOKENS

    def ours() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            finetune(adapted, rows, recipe, tokenizer, scratch)

    done(ours)
    taken = seconds(ours)
    again = 3 if recipe.gradient_checkpointing else 2  # blocks forwarded twice, or once, and back
    keep(
        Answer(
            f"GPU: fine-tune, {STEPS} steps of `study`",
            "its products at the card's matrix rate",
            taken,
            tokens * 2 * again * weights / rate,
            None,
            told(tokens, taken, 2 * again * weights, rate),
        )
    )


if __name__ == "__main__":
    main()
