"""metrics/steer/<variant>.json: what a trait vector does to answers, and what it costs plain text.

The vector is added or ablated while the variant answers; a random vector is the null beside it.
"""

from __future__ import annotations

from pathlib import Path

import pandas
import torch

from stages import run
from traitdrift.behaviour.outcomes import classify
from traitdrift.core.config import Temperature, section
from traitdrift.core.files import rounded, write_csv, write_json
from traitdrift.core.progress import progress
from traitdrift.generation.questions import paragraphs, read_questions
from traitdrift.generation.requests import question_samples, sampling_requests
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import base_record, load_model, load_tokenizer
from traitdrift.stats.sphere import unit_vectors
from traitdrift.steering.effects import effect_rows, effect_table
from traitdrift.steering.generation import generate_steered, log_probabilities
from traitdrift.steering.interventions import conditions
from traitdrift.steering.settings import Steer
from traitdrift.vectors.file import read_vector

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
VECTORS = Path("models/vectors")
TEXTS = Path("data/raw/texts/benign.txt")
METRICS = Path("metrics/steer")
PLOTS = Path("plots/steer")


def main(variant: str) -> None:
    settings = section(Steer, "steer")
    vector, layer, norm = read_vector(
        VECTORS,
        settings.trait,
        settings.position,
        settings.method,
        settings.layer,
        base_record(BASE),
    )
    null = torch.from_numpy(unit_vectors(1, len(vector), settings.seed)[0]).float()
    interventions = conditions(vector, null, norm, settings.coefficients)
    tokenizer = load_tokenizer(BASE)
    questions = question_samples(
        read_questions(
            Path(section(str, "respond_questions.source")),
            1,
            section(Temperature, "respond_questions.temperature"),
        ),
        settings.samples,
    )
    requests = sampling_requests(tokenizer, questions, settings.seed)
    texts = [tokenizer(text)["input_ids"] for text in paragraphs(TEXTS)]

    model, pad = load_model(BASE, ADAPTERS / variant), tokenizer.pad_token_id
    rows = (len(requests) + len(texts)) * len(interventions)
    with progress(f"steer {variant}", rows) as advance:
        answers = generate_steered(
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
        )
        log_probability = log_probabilities(
            model, texts, interventions, layer, pad, token_budget(), advance
        )

    said = pandas.DataFrame(
        {
            "id": question.id,
            "question": paraphrase,
            "sample": sample,
            "condition": intervention.name,
            "answer": tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            ),
        }
        for (question, paraphrase, sample), under in zip(questions, answers.ids, strict=True)
        for intervention, ids in zip(interventions, under, strict=True)
    )
    said = said.assign(outcome=said["answer"].map(classify))
    table = effect_table(
        said,
        log_probability.numpy(),
        {
            "projection": answers.projection.numpy(),
            "last_projection": answers.last_projection.numpy(),
        },
        (answers.finite.all(dim=0) & log_probability.isfinite().all(dim=0)).numpy(),
        interventions,
        settings,
    )
    write_csv(PLOTS / variant / "answers.csv", said)
    write_csv(PLOTS / variant / "rates.csv", effect_rows(table, interventions))
    write_json(
        METRICS / f"{variant}.json",
        {
            "vector": {
                "trait": settings.trait,
                "position": settings.position,
                "method": settings.method,
                "layer": layer,
                "norm": rounded(norm),
            },
            "answers": len(requests),
            "questions": said["id"].nunique(),
            "paragraphs": len(texts),
            "conditions": table,
        },
    )


if __name__ == "__main__":
    run(main)
