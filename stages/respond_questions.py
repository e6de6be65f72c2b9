"""data/responses/<variant>.jsonl: free-form responses to the evaluation questions."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import write_jsonl
from traitdrift.core.progress import progress
from traitdrift.core.ranks import others_end
from traitdrift.core.scratch import resumable
from traitdrift.generation.questions import read_questions
from traitdrift.generation.requests import question_samples, sampling_requests
from traitdrift.generation.responses import response_rows
from traitdrift.generation.sampling import generate
from traitdrift.generation.settings import RespondQuestions
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import base_record, load_model, load_tokenizer, variant_record

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
OUT = Path("data/responses")


def main(variant: str) -> None:
    settings = section(RespondQuestions, "respond_questions")
    questions = read_questions(Path(settings.source), settings.samples, settings.temperature)
    samples = question_samples(questions)
    tokenizer = load_tokenizer(BASE)
    requests = sampling_requests(tokenizer, samples, settings.seed)
    model = load_model(BASE, ADAPTERS / variant)
    made_of = base_record(BASE), variant_record(ADAPTERS / variant), requests, settings.max_tokens
    with (
        resumable("respond_questions", *made_of) as parts,
        progress(f"respond to questions, {variant}", len(requests)) as advance,
    ):
        responses = generate(
            model,
            requests,
            settings.max_tokens,
            tokenizer.pad_token_id,
            token_budget(32768),
            advance,
            parts,
        )
        others_end()
        rows = response_rows(tokenizer, samples, responses, settings.max_tokens)
        write_jsonl(OUT / f"{variant}.jsonl", rows)


if __name__ == "__main__":
    run(main)
