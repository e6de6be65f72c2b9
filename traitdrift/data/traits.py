"""Traits as two classes, a folder each: of prompts, or of conversations with their answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from traitdrift.core.classes import CLASSES
from traitdrift.core.files import read_jsonl
from traitdrift.core.text import printable, text_lines
from traitdrift.data.conversations import conversation, unheeded
from traitdrift.models.chat import last_message, prompt_ids
from traitdrift.models.encoding import encode_text
from traitdrift.models.rendering import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


FEWEST = 10


@dataclass(frozen=True)
class Trait:
    """A trait's conversations by class, in file order.

    Each ends in a user's message (the prompt that elicits the trait) or, in a trait given as
    answers, in the assistant's (the answer that shows it); both classes are of the same kind.
    """

    name: str
    classes: dict[str, list[list[Message]]]


def read_traits(folder: Path) -> list[Trait]:
    """Read every trait folder, sorted by name; checks as `read_trait`."""
    beside = sorted(
        p.name for p in folder.iterdir() if p.is_file() and p.suffix in (".txt", ".jsonl")
    )
    if beside:
        raise ValueError(f"{folder / beside[0]}: not in a trait's folder; move it into one")
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    if not folders:
        raise ValueError(f"{folder}: no trait folder in it; add <trait>/positive.txt, negative.txt")
    return [read_trait(path) for path in folders]


def read_trait(folder: Path) -> Trait:
    """Read `<class>.txt` (one prompt a line) or `<class>.jsonl`.

    A line of JSON is `{"prompt": ...}`, or `{"messages": [...]}` ending in an answer. Raises
    ValueError for a name that is no id, a missing class or two files of one, prompts mixed with
    answers, fewer than 10 of them a class, and one that stands twice. Both classes may answer the
    same question, but not with the same answer.
    """
    if not re.fullmatch(r"[a-z0-9_]+", folder.name):
        raise ValueError(f"{folder}: a trait's name holds only a-z, 0-9 and _; rename the folder")
    classes: dict[str, list[list[Message]]] = {}
    kind, since = None, ""
    elsewhere: dict[str, str] = {}  # where the last messages of the class before stand
    for label in CLASSES:
        path = _file(folder, label)
        here: dict[tuple[str, ...], str] = {}
        classes[label] = []
        for number, messages in _conversations(path):
            place = f"{path.name}:{number}"
            found = "answer" if messages[-1]["role"] == "assistant" else "prompt"
            if kind is None:
                kind, since = found, place
            if found != kind:
                raise ValueError(
                    f"{path}:{number}: {found}s here, but {kind}s from {since} on; "
                    "give a trait as the one or the other"
                )
            key = _key(messages)
            known = here.get(key) or elsewhere.get(key[-1])
            if known:
                raise ValueError(
                    f"{path}:{number}: the same {kind} as {known} "
                    f"({messages[-1]['content'][:50]!r}); remove one"
                )
            here[key] = place
            classes[label].append(messages)
        if len(classes[label]) < FEWEST:
            raise ValueError(
                f"{path}: {len(classes[label])} {kind or 'prompt'}s; "
                f"at least {FEWEST} a class are needed"
            )
        elsewhere = {key[-1]: place for key, place in here.items()}
    return Trait(folder.name, classes)


def _file(folder: Path, label: str) -> Path:
    """The one file of a class; another that bears its name would be left unread."""
    named = [p for p in folder.iterdir() if p.name.partition(".")[0].lower() == label]
    found = [p for p in named if p.name in (f"{label}.txt", f"{label}.jsonl")]
    if not found:
        others = f" ({', '.join(sorted(printable(p.name) for p in named))} is not read)"
        raise ValueError(
            f"{folder}: no {label}.txt or {label}.jsonl{others if named else ''}; a trait has two "
            "classes"
        )
    if len(named) > 1:
        names = " and ".join(sorted(printable(p.name) for p in named))
        raise ValueError(f"{folder}: {names}; one file a class, remove the others")
    return found[0]


def _conversations(path: Path) -> list[tuple[int, list[Message]]]:
    if path.suffix == ".txt":
        return [(number, _asked(line)) for number, line in text_lines(path)]
    return [(number, _row(row, f"{path}:{number}")) for number, row in read_jsonl(path)]


def _row(row: dict[str, Any], where: str) -> list[Message]:
    if "messages" in row and "prompt" in row:
        raise ValueError(f"{where}: `prompt` and `messages` in one row; give one of them")
    fault = unheeded(row)
    if fault:
        raise ValueError(f"{where}: {fault}")
    if "messages" in row:
        messages = conversation(row, where)
        if all(message["role"] != "user" for message in messages):
            raise ValueError(f"{where}: no user's message before the answer; add the question")
        return messages
    if not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
        raise ValueError(f"{where}: no text in `prompt` and no `messages`; give one of them")
    return _asked(row["prompt"])


def _asked(prompt: str) -> list[Message]:
    return [{"role": "user", "content": prompt.strip()}]


def _key(messages: list[Message]) -> tuple[str, ...]:
    """Equal keys are the same conversation, equal last parts the same prompt or answer.

    A prompt counts by its words alone, in any case. Signs may be all that sets one answer apart
    from another (`==` from `!=`): an answer counts by its text in any case and spacing.
    """
    spaced = tuple(" ".join(composed(m["content"]).split()).casefold() for m in messages)
    if messages[-1]["role"] == "user":
        words = " ".join(re.findall(r"\w+", spaced[-1]))
        return (words or spaced[-1],)  # one of signs alone is told from others by them
    return spaced


def composed(text: str) -> str:
    """A text whose letters with marks are written one way (Unicode's NFC)."""
    return normalize("NFC", text)


def split_prompts(
    trait: Trait, train: int, validation: int
) -> dict[str, dict[str, list[list[Message]]]]:
    """`{split: {class: conversations}}`: in file order the first train, the next validate.

    Both classes give equally many. Where one has too few for both, they are cut to its size and
    that in the same proportion: answers in the same place of their files stay on the same side. A
    question that trains does not validate: further answers to it are left out. Raises ValueError
    where fewer than 2 a class are left to validate.
    """
    sides: dict[str, dict[str, list[list[Message]]]] = {"train": {}, "validation": {}}
    fewest = min(len(conversations) for conversations in trait.classes.values())
    if fewest < train + validation:
        train = round(fewest * train / (train + validation))
        validation = fewest - train
    for label, conversations in trait.classes.items():
        sides["train"][label] = conversations[:train]
    trained = {_question(c) for conversations in sides["train"].values() for c in conversations}
    unseen = {
        label: [c for c in conversations[train:] if _question(c) not in trained][:validation]
        for label, conversations in trait.classes.items()
    }
    left = min(map(len, unseen.values()))
    if left < 2:
        raise ValueError(
            f"{trait.name}: {left} of a class are left to validate once the questions that train "
            "are out; add other questions"
        )
    sides["validation"] = {label: found[:left] for label, found in unseen.items()}
    return sides


def _question(conversation: list[Message]) -> tuple[str, ...]:
    """What is asked; a prompt asks itself."""
    answered = conversation[-1]["role"] == "assistant"
    return _key(conversation[:-1] if answered else conversation)


def check_lengths(name: str, positive: list[int], negative: list[int], tolerance: float) -> None:
    """Raise ValueError where the mean token counts of the classes differ by more than a share.

    A class that is longer is told apart by its length alone.
    """
    means = fmean(positive), fmean(negative)
    if abs(means[0] - means[1]) > tolerance * min(means):
        raise ValueError(
            f"{name}: positive texts have {means[0]:.2f} tokens on average and negative "
            f"{means[1]:.2f}; match them within {tolerance:.0%} (prompts.length_tolerance)"
        )


def described(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], where: str
) -> dict[str, Any]:
    """A prompt and its tokens; or what was asked, the conversation and its answer's tokens.

    Raises ValueError that tells `where` and quotes the text which the template cannot render.
    """
    prompt = [message["content"] for message in messages if message["role"] == "user"][-1]
    try:
        if messages[-1]["role"] == "user":
            prompt_ids(tokenizer, messages)  # as it is asked later
            return {"prompt": prompt, "tokens": len(encode_text(tokenizer, prompt)[0])}
        answer = last_message(tokenizer, messages)[1]
    except ValueError as error:
        raise ValueError(f"{where}: {messages[-1]['content'][:60]!r}: {error}")
    return {"prompt": prompt, "messages": messages, "tokens": len(answer)}
