"""data/responses/<variant>.jsonl: free-form answers to the evaluation questions."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import write_jsonl
from traitdrift.core.progress import progress
from traitdrift.generation.questions import read_questions
from traitdrift.generation.requests import question_samples, sampling_requests
from traitdrift.generation.sampling import generate
from traitdrift.generation.settings import RespondQuestions
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import load_model, load_tokenizer

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
OUT = Path("data/responses")


def main(variant: str) -> None:
    settings = section(RespondQuestions, "respond_questions")
    questions = question_samples(
        read_questions(Path(settings.source), settings.samples, settings.temperature)
    )
    tokenizer = load_tokenizer(BASE)
    requests = sampling_requests(tokenizer, questions, settings.seed)
    model = load_model(BASE, ADAPTERS / variant)
    with progress(f"respond {variant}", len(requests)) as advance:
        answers = generate(
            model,
            requests,
            settings.max_tokens,
            tokenizer.pad_token_id,
            token_budget(32768),
            advance,
        )
    write_jsonl(
        OUT / f"{variant}.jsonl",
        (
            {
                "id": question.id,
                "question": paraphrase,
                "system": question.system,
                "temperature": question.temperature,
                "sample": sample,
                "answer": tokenizer.decode(
                    answer, skip_special_tokens=True, clean_up_tokenization_spaces=False
                ),
                "ids": answer,
                "complete": len(answer) < settings.max_tokens,
            }
            for (question, paraphrase, sample), answer in zip(questions, answers, strict=True)
        ),
    )


if __name__ == "__main__":
    run(main)
