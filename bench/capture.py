"""The residual stream of every layer at the last token of chat prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.sides import Answer, keep, timed
from traitdrift.activations.capture import capture
from traitdrift.activations.positions import teacher_force
from traitdrift.inference.batching import by_length, padded, token_budget
from traitdrift.inference.hooks import blocks
from traitdrift.models.loading import load_model, load_tokenizer
from traitdrift.models.rendering import render

BASE = Path("models/base")
TRAIT = Path("data/raw/traits/refusal")


def main() -> None:
    tokenizer, model = load_tokenizer(BASE), load_model(BASE)
    texts = [line for name in ("positive", "negative") for line in (TRAIT / f"{name}.txt").open()]
    asked = [[{"role": "user", "content": text.strip()}] for text in texts]
    conversations = [teacher_force(tokenizer, one, [], ["prompt_last"]) for one in asked]
    rendered = [render(tokenizer, one, generation_prompt=True).text for one in asked]
    made: dict[str, torch.Tensor] = {}

    def ours() -> None:
        made["ours"] = capture(model, conversations, tokenizer.pad_token_id, token_budget())[
            "prompt_last"
        ].float()

    @torch.inference_mode()
    def one_by_one() -> None:
        rows = []
        for text in rendered:
            read = tokenizer(text, return_tensors="pt", add_special_tokens=False)
            states = model(**read, output_hidden_states=True).hidden_states
            rows.append(torch.stack([state[:, -1].float() for state in states[1:]], 1))
        made["one by one"] = torch.cat(rows)

    @torch.inference_mode()
    def bare() -> None:
        sequences = [one.ids for one in conversations]
        for batch in by_length([len(one) for one in sequences], token_budget()):
            ids, mask = padded([sequences[i] for i in batch], tokenizer.pad_token_id)
            model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)

    @torch.inference_mode()
    def steering_vectors() -> None:
        from steering_vectors.record_activations import record_activations

        for text in rendered:
            read = tokenizer(text, return_tensors="pt", add_special_tokens=False)
            with record_activations(model, clone_activations=False) as record:
                model(**read)
            for layer in sorted(record):
                record[layer][-1][0, -1].float()

    def repeng() -> None:
        np.float_ = np.float64  # type: ignore[attr-defined]  # repeng names what numpy 2 took away
        from repeng.extract import batched_get_hiddens

        class Tokenizer:
            padding_side = "left"

            def __call__(self, batch: list[str], **_: Any) -> Any:
                return tokenizer(
                    batch,
                    return_tensors="pt",
                    padding=True,
                    padding_side="left",
                    add_special_tokens=False,
                )

        batched_get_hiddens(model, Tokenizer(), rendered, list(range(len(blocks(model)))), 32)

    sides = {
        "ours": ours,
        "one by one": one_by_one,
        "bare": bare,
        "steering-vectors": steering_vectors,
        "repeng": repeng,
    }
    seconds = timed(sides)
    # transformers hands out the last layer behind the norm.
    error = (made["ours"] - made["one by one"])[:, :-1].norm(dim=-1)
    error /= made["one by one"][:, :-1].norm(dim=-1)
    same = f"streams {error.median():.1e} apart in the median, {error.max():.1e} at most"
    what = f"capture, all layers, {len(texts)} chat prompts"
    keep(
        *(
            Answer(what, beside, seconds["ours"], seconds[name], to_reach, same)
            for name, beside, to_reach in (
                ("one by one", "a prompt at a time with `output_hidden_states`", 4.0),
                ("steering-vectors", "steering-vectors", 4.0),
                ("repeng", "repeng", 2.0),
                ("bare", "the bare forward pass of the blocks, by length, nothing kept", 1.2),
            )
        )
    )


if __name__ == "__main__":
    main()
