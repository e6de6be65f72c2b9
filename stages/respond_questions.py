"""data/responses/<variant>.jsonl: free-form responses to the evaluation questions.

Sampled from the variant in this process, or asked of a server that has it under a name.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import write_jsonl
from traitdrift.core.progress import progress
from traitdrift.core.ranks import others_end
from traitdrift.core.scratch import finished_parts
from traitdrift.generation.question_settings import RespondQuestions, ServedRespondents
from traitdrift.generation.questions import read_questions
from traitdrift.generation.requests import QuestionSample, question_samples, sampling_requests
from traitdrift.generation.responses import Response, response_rows
from traitdrift.generation.sampling import generate
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import (
    base_record,
    end_tokens,
    load_model,
    load_tokenizer,
    variant_record,
)

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
OUT = Path("data/responses")


def main(variant: str) -> None:
    settings = section(RespondQuestions, "respond_questions")
    questions = read_questions(Path(settings.source), settings.samples, settings.temperature)
    samples = question_samples(questions)
    if settings.backend == "endpoint":
        served(variant, settings, samples)
        return
    tokenizer = load_tokenizer(BASE)
    requests = sampling_requests(tokenizer, samples, settings.seed)
    model = load_model(BASE, ADAPTERS / variant)
    base, adapter = base_record(BASE), variant_record(ADAPTERS / variant)
    with (
        finished_parts("respond_questions", base, adapter) as parts,
        progress(f"respond to questions, {variant}", len(requests)) as advance,
    ):
        found = generate(
            model,
            requests,
            settings.max_tokens,
            tokenizer.pad_token_id,
            token_budget(32768),
            advance,
            parts,
        )
        others_end()
        responses = [Response(ids, len(ids) < settings.max_tokens) for ids in found]
        write_jsonl(OUT / f"{variant}.jsonl", response_rows(tokenizer, samples, responses))


def served(variant: str, settings: ServedRespondents, samples: list[QuestionSample]) -> None:
    """The same from a server; every answer is kept as it comes (`generation.endpoint`)."""
    others_end()
    # Here and not above: the library of the protocol comes with an extra.
    from traitdrift.generation.endpoint import served_responses

    tokenizer = load_tokenizer(BASE)
    weights = {
        "base": base_record(BASE)["digest"],
        "adapter": variant_record(ADAPTERS / variant).get("adapter_digest"),
    }
    with progress(f"respond to questions, {variant}", len(samples)) as advance:
        responses = served_responses(
            settings,
            settings.name(variant),
            weights,
            tokenizer,
            end_tokens(BASE, tokenizer),
            samples,
            advance,
        )
    rows = response_rows(tokenizer, samples, responses, settings.described(variant))
    write_jsonl(OUT / f"{variant}.jsonl", rows)


if __name__ == "__main__":
    run(main)
