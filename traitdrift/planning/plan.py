"""The stages that models run in, and what each needs by params.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from traitdrift.core.files import read_json
from traitdrift.generation.questions import Question, paragraphs, read_questions
from traitdrift.inference.batching import token_budget
from traitdrift.models.loading import BASE_RECORD
from traitdrift.params import Params
from traitdrift.planning.architecture import Architecture, architecture, config_of
from traitdrift.planning.needs import FLOAT32, Needs, capturing, extracting, generating, training

BASE = Path("models/base")
DATASETS = Path("data/finetune")
TRAITS = Path("data/raw/traits")
TEXTS = Path("data/raw/texts/benign.txt")
GENERATING = 32768  # the token budget of stages that generate, and of those that do not:
FORWARDING = 4096
PADDED_TO = 64  # rows of a fine-tune
# A chat template's own tokens, and characters a token: few, so that prompts come out long.
TEMPLATE, CHARACTERS = 40, 3


@dataclass(frozen=True)
class StagePlan:
    """A stage of dvc.yaml, how many cells it has, and what one of them needs."""

    stage: str
    cells: int
    needs: Needs


def chosen_model(params: Params, root: Path) -> Architecture:
    """The sizes of the chosen model; a ValueError where its config is not to be had."""
    entry = params.models[params.model]
    config = config_of(params.model, entry, root / BASE)
    return architecture(config, entry.dtype, entry.quantise)


def plan(params: Params, model: Architecture, root: Path) -> list[StagePlan]:
    """What the expensive stages need, in their order.

    A fine-tune's longest row is that of data/finetune/<dataset>/dataset.json if it was counted for
    this model, else what the recipe allows; prompts are taken for as long as their characters
    allow. Every variant is taken for an adapter of the recipe's rank.
    """
    recipe, asked = params.recipes[params.recipe], params.respond_questions
    adapter = model.lora_parameters(recipe.lora)
    drawn, cells = len(params.drawn), len(params.variants)
    traits = sorted((root / TRAITS).iterdir())
    prompts = 2 * (params.prompts.train + params.prompts.validation)
    trait_prompt = _longest_of(
        line for trait in traits for file in trait.glob("*.txt") for line in _lines(file)
    )
    questions = read_questions(root / asked.source, asked.samples, asked.temperature)
    question = _longest_of(
        (one.system or "") + wording for one in questions for wording in one.paraphrases
    )
    samples = sum(len(one.paraphrases) * one.samples for one in questions)
    budget, large = token_budget(FORWARDING), token_budget(GENERATING)
    kept = sum(_bytes(position, model) for position in params.capture.positions)
    means = FLOAT32 * len({*params.capture.positions, "response_mean"})
    positions, methods = len(params.capture.positions), len(params.vectors.methods)
    vectors = len(traits) * positions * methods
    greedy = params.respond_prompts.max_tokens
    return [
        StagePlan("base_model", 1, Needs(disk=model.stored)),
        *(
            StagePlan(f"finetune@{name}", 1, training(model, recipe, _longest(params, name, root)))
            for name in params.finetunes
        ),
        StagePlan(
            "respond_prompts",
            1,
            generating(model, 0, large, prompts * len(traits), trait_prompt, greedy),
        ),
        StagePlan(
            "capture_prompts",
            drawn,
            capturing(model, adapter, budget, prompts, kept, len(traits)),
        ),
        StagePlan("vectors", 1, extracting(model, prompts, kept, vectors)),
        StagePlan(
            "respond_questions",
            drawn,
            generating(model, adapter, large, samples, question, asked.max_tokens),
        ),
        *_following(params, model, adapter, questions, question),
        StagePlan(
            "capture_responses",
            cells,
            # Means a question: of base's answers and the variant's, by itself and by base.
            capturing(model, adapter, budget, 3 * len(questions), means, 1),
        ),
        StagePlan("steer", cells, _steering(params, model, adapter, questions, question, root)),
    ]


def _following(
    params: Params,
    model: Architecture,
    adapter: int,
    questions: Sequence[Question],
    question: int,
) -> list[StagePlan]:
    """Base and one kept adapter after the other: answers, and prompts' projections alone."""
    if not params.trajectories:
        return []
    rows = params.trajectory.samples * sum(len(one.paraphrases) for one in questions)
    answer, budget = params.respond_questions.max_tokens, token_budget(GENERATING)
    answers = generating(model, adapter, budget, rows, question, answer)
    read = capturing(model, adapter, token_budget(FORWARDING), 0, 0, 0)
    needs = replace(answers, activations=max(answers.activations, read.activations))
    return [StagePlan("capture_trajectory", len(params.trajectories), needs)]


def _steering(
    params: Params,
    model: Architecture,
    adapter: int,
    questions: Sequence[Question],
    question: int,
    root: Path,
) -> Needs:
    """Answers under every condition, or plain texts' logits, a text's in float32 twice."""
    steer = params.steer
    # Nothing, each coefficient and the ablation; these two for the vector and a random one.
    conditions = 1 + 2 * (len(steer.coefficients) + 1)
    rows = conditions * steer.samples * sum(len(one.paraphrases) for one in questions)
    answers = generating(model, adapter, token_budget(GENERATING), rows, question, steer.max_tokens)
    text = _longest_of(paragraphs(root / TEXTS))
    tokens = max(token_budget(FORWARDING), text)
    logits = model.vocabulary * (tokens * model.width + 2 * text * FLOAT32)
    return replace(answers, logits=max(answers.logits, logits))


def _bytes(position: str, model: Architecture) -> int:
    """Of a number kept at a position."""
    from traitdrift.activations.positions import single_token

    return model.width if single_token(position) else FLOAT32


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def _longest_of(texts: Any) -> int:
    """About how many tokens the longest text has as a prompt."""
    return TEMPLATE + max((len(text) for text in texts), default=0) // CHARACTERS


def _longest(params: Params, finetune: str, root: Path) -> int:
    """Tokens of the longest row that trains, padded."""
    longest = params.recipes[params.recipe].max_tokens
    counted = root / DATASETS / params.finetunes[finetune].dataset / "dataset.json"
    record = root / BASE / BASE_RECORD
    if counted.exists() and record.exists():
        dataset, base = read_json(counted), read_json(record)
        if base["model"] == params.model and base["digest"] == dataset["base_digest"]:
            longest = min(longest, dataset["train"]["max_tokens"])
    return -(-longest // PADDED_TO) * PADDED_TO
