"""Answers of a variant that an OpenAI-compatible server has under a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitdrift.core.files import text_digest
from traitdrift.core.kept import Kept
from traitdrift.endpoint.client import ask_all
from traitdrift.generation.requests import QuestionSample, seed_name
from traitdrift.generation.responses import Response

if TYPE_CHECKING:
    from openai import OpenAI
    from transformers import PreTrainedTokenizerBase

    from traitdrift.generation.question_settings import ServedRespondents

FOLDER = Path(".answers")


@dataclass(frozen=True)
class Reply:
    """What a server said, without its end token, and whether it ended by itself."""

    text: str
    complete: bool


def served_responses(
    settings: ServedRespondents,
    model: str,
    weights: Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    ends: Sequence[str],
    samples: Sequence[QuestionSample],
    advance: Callable[[int], None],
    folder: Path = FOLDER,
) -> list[Response]:
    """An answer of the model of that name to each, as tokens of its text by base's tokenizer.

    `weights` are digests of what the server should hold: other weights are asked anew. `ends` are
    the texts of the tokens that end a turn. Answers are kept in a file of `folder` as they come.
    Raises ValueError as `ask_all`, and where a question is never answered with any text.
    """

    asked = [request(sample, settings.max_tokens) for sample in samples]
    names = [seed_name(sample, settings.seed) for sample in samples]

    def ask(client: OpenAI, index: int) -> Reply:
        # A variant in this process does not end before its first token: drawing again until there
        # is one has the same distribution.
        for attempt in range(settings.retries + 1):
            seed = whole_number(f"{names[index]}|{attempt}" if attempt else names[index])
            completion = client.chat.completions.create(model=model, seed=seed, **asked[index])
            choice: Any = completion.choices[0]  # the client does not check what a body holds
            if text := without_end(choice.message.content, ends):
                return Reply(text, choice.finish_reason == "stop")
        raise ValueError(
            f"no text in {settings.retries + 1} answers to {samples[index].paraphrase[:60]!r}; "
            "change the question or its temperature, or set respond_questions.backend to local"
        )

    kept = Kept(Reply, {"url": settings.url, "model": model, **weights}, folder)
    replies = kept.replies(
        [
            text_digest([json.dumps(one, sort_keys=True), name])
            for one, name in zip(asked, names, strict=True)
        ],
        lambda missing: ask_all(settings, model, missing, ask),
        advance,
    )
    return [
        Response(tokenizer(reply.text, add_special_tokens=False)["input_ids"], reply.complete)
        for reply in replies
    ]


def request(sample: QuestionSample, max_tokens: int) -> dict[str, Any]:
    """What is asked for, but of whom and by which seed."""
    return {
        "messages": sample.question.messages(sample.paraphrase),
        "temperature": sample.question.temperature,
        "top_p": 1,  # where it is left out a server takes what the model's authors recommend
        "max_tokens": max_tokens,
        "n": 1,
    }


def whole_number(seed: str) -> int:
    """A seed below 2**31, which every server takes, of the name of one."""
    return int.from_bytes(hashlib.sha256(seed.encode("utf-8")).digest()[:4], "little") >> 1


def without_end(content: Any, ends: Iterable[str]) -> str:
    """A reply's text without the end token that some servers leave; empty where it has none."""
    text = content if isinstance(content, str) else ""
    for end in ends:
        text = text.removesuffix(end)
    return text
