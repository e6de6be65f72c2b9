"""data/trajectory/<variant>/: base and each adapter kept along a fine-tune, read and asked.

Their residual streams on the validation prompts, along the chosen vector of each trait, and their
answers to the evaluation questions. Every step draws the same noise for a sample, so steps are
paired.
"""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.activations.along import ChosenVector, seen_along
from traitdrift.activations.along_file import save_along
from traitdrift.activations.prompt_conversations import answers_to, conversations
from traitdrift.core.classes import CLASSES
from traitdrift.core.config import Count, Samples, Seed, Temperature, section
from traitdrift.core.files import read_json, read_jsonl, write_jsonl
from traitdrift.core.progress import progress
from traitdrift.core.ranks import others_end
from traitdrift.core.scratch import finished_parts
from traitdrift.data.prompt_set import read_prompt_sets
from traitdrift.generation.questions import read_questions
from traitdrift.generation.requests import question_samples, sampling_requests
from traitdrift.generation.responses import Response, response_rows
from traitdrift.generation.sampling import generate
from traitdrift.inference.batching import token_budget
from traitdrift.models.along import kept_adapters
from traitdrift.models.loading import base_record, load_model, load_tokenizer, variant_record
from traitdrift.vectors.file import read_vectors

BASE = Path("models/base")
ADAPTERS = Path("models/adapters")
PROMPTS = Path("data/prompts")
RESPONSES = Path("data/prompt_responses.jsonl")
VECTORS = Path("models/vectors")
CHOICES = Path("metrics/vectors")
OUT = Path("data/trajectory")


def main(variant: str) -> None:
    source = Path(section(str, "respond_questions.source"))
    temperature = section(Temperature, "respond_questions.temperature")
    max_tokens = section(Count, "respond_questions.max_tokens")
    seed = section(Seed, "respond_questions.seed")
    asked = section(Samples, "trajectory.samples")
    samples = question_samples(read_questions(source, 1, temperature), asked)
    base, kept = base_record(BASE), kept_adapters(ADAPTERS / variant)
    tokenizer = load_tokenizer(BASE)
    requests = sampling_requests(tokenizer, samples, seed)

    chosen, held = {}, {}
    responses = [row for _, row in read_jsonl(RESPONSES)]
    for trait, prompts in read_prompt_sets(PROMPTS).items():
        choice, vectors = read_json(CHOICES / f"{trait}.json"), VECTORS / f"{trait}.safetensors"
        position, method, layer = (choice[key] for key in ("position", "method", "layer"))
        unit = read_vectors(vectors).vectors(position, method)[layer]
        chosen[trait] = ChosenVector(position, method, layer, unit)
        for label in CLASSES:
            rows = [prompts.rows[i] for i in prompts.index()[label, "validation"]]
            answers = answers_to(rows, responses)
            held[trait, label] = conversations(tokenizer, rows, answers, [position])

    pad, digests, seen, said = tokenizer.pad_token_id, [], {}, []
    total = (1 + len(kept)) * (sum(map(len, held.values())) + len(requests))
    with progress(f"capture trajectory, {variant}", total) as advance:
        for step, folder in {0: None, **kept}.items():
            adapter = variant_record(folder) if folder else {}
            digests.append(adapter.get("adapter_digest"))
            model = load_model(BASE, folder)
            with finished_parts("capture_trajectory", base, digests[-1]) as parts:
                seen[step] = seen_along(model, held, chosen, pad, token_budget(), advance, parts)
                found = generate(
                    model, requests, max_tokens, pad, token_budget(32768), advance, parts
                )
            del model  # before the next is loaded
            ended = [Response(ids, len(ids) < max_tokens) for ids in found]
            said += [{"step": step, **row} for row in response_rows(tokenizer, samples, ended)]
    others_end()
    made = {"variant": variant, "model": base["id"], "base_digest": base["digest"]}
    save_along(OUT / variant / "projections.safetensors", seen, chosen, digests, made)
    write_jsonl(OUT / variant / "responses.jsonl", said)


if __name__ == "__main__":
    run(main)
