"""data/steered/<variant>/: a variant's responses while a trait vector is added or ablated.

A random vector is the null beside it. What plain text loses is forwarded under the same conditions.
"""

from __future__ import annotations

from pathlib import Path

import torch

from stages import run
from traitdrift.core.config import Temperature, section
from traitdrift.core.files import rounded
from traitdrift.core.progress import progress
from traitdrift.core.ranks import others_end
from traitdrift.core.scratch import finished_parts
from traitdrift.generation.questions import paragraphs, read_questions
from traitdrift.generation.requests import question_samples, sampling_requests
from traitdrift.inference.batching import token_budget
from traitdrift.models.chat import plain_ids
from traitdrift.models.loading import base_record, load_model, load_tokenizer, variant_record
from traitdrift.stats.sphere import unit_vectors
from traitdrift.steering.generation import generate_steered, log_probabilities, steered_rows
from traitdrift.steering.interventions import conditions
from traitdrift.steering.settings import Steer
from traitdrift.steering.steered_file import Steered, save_steered
from traitdrift.steering.vector import steering_vector

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
VECTORS = Path("models/vectors")
TEXTS = Path("data/raw/texts/benign.txt")
OUT = Path("data/steered")


def main(variant: str) -> None:
    settings, base = section(Steer, "steer"), base_record(BASE)
    vector, layer, norm = steering_vector(VECTORS, settings, base["digest"])
    null = torch.from_numpy(unit_vectors(1, len(vector), settings.seed)[0]).float()
    interventions = conditions(vector, null, norm, settings.coefficients)
    source = Path(section(str, "respond_questions.source"))
    temperature = section(Temperature, "respond_questions.temperature")
    samples = question_samples(read_questions(source, 1, temperature), settings.samples)
    tokenizer = load_tokenizer(BASE)
    requests = sampling_requests(tokenizer, samples, settings.seed)
    texts = [plain_ids(tokenizer, text) for text in paragraphs(TEXTS)]

    model, pad = load_model(BASE, ADAPTERS / variant), tokenizer.pad_token_id
    adapter = variant_record(ADAPTERS / variant)
    rows = (len(requests) + len(texts)) * len(interventions)
    with (
        finished_parts("steer", base, adapter) as parts,
        progress(f"steer {variant}", rows) as advance,
    ):
        responses = generate_steered(
            model,
            requests,
            interventions,
            layer,
            settings.positions,
            vector,
            settings.max_tokens,
            pad,
            token_budget(32768),
            advance,
            parts,
        )
        log_probability = log_probabilities(
            model, texts, interventions, layer, pad, token_budget(), advance
        )
        others_end()
        steered = Steered(
            responses=steered_rows(tokenizer, samples, interventions, responses.ids),
            log_probability=log_probability,
            projection=responses.projection,
            last_projection=responses.last_projection,
            finite=responses.finite.all(dim=0) & log_probability.isfinite().all(dim=0),
            conditions=interventions,
            vector={
                "trait": settings.trait,
                "position": settings.position,
                "method": settings.method,
                "layer": layer,
                "norm": rounded(norm),
            },
        )
        made = {
            "variant": variant,
            "model": base["id"],
            "base_digest": base["digest"],
            "adapter_digest": adapter.get("adapter_digest"),
        }
        save_steered(OUT / variant, steered, made)


if __name__ == "__main__":
    run(main)
