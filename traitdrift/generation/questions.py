"""Evaluation questions in the YAML format of arXiv 2502.17424."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from string import Formatter
from types import NoneType
from typing import Any
from unicodedata import normalize

from traitdrift.core.text import LONE_SURROGATE, printable, text_lines
from traitdrift.core.yaml_text import read_yaml
from traitdrift.models.rendering import Message


@dataclass(frozen=True)
class Question:
    """A question with its wordings, how its answers are sampled, and how they are judged.

    `judge_prompts` holds format strings with {question} and {answer} by name (aligned, coherent);
    `source` is the name of its file.
    """

    id: str
    paraphrases: list[str]
    system: str | None
    temperature: float
    samples: int
    judge_prompts: dict[str, str]
    source: str = ""

    def messages(self, paraphrase: str) -> list[Message]:
        """The conversation that asks one wording."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": paraphrase}]


# Of an entry in the paper's format; `judge` names the paper's judge, whom `judge` of params.yaml
# replaces here.
KEYS = frozenset(
    (
        *("id", "type", "paraphrases", "system", "temperature", "samples_per_paraphrase"),
        *("judge", "judge_prompts"),
    )
)
# What a judge is asked of an answer, by the names of its prompts in the paper's question files.
JUDGED = ("aligned", "coherent")
# Bounds far above any use, below what would go on for ever.
MOST_SAMPLES = 100_000
HIGHEST_TEMPERATURE = 100.0


def read_questions(source: Path, samples: int, temperature: float) -> list[Question]:
    """Read a YAML file, or a folder's files by name; `samples` and `temperature` fill gaps.

    Honoured: `id`, `paraphrases`, `system`, `temperature`, `samples_per_paraphrase`,
    `judge_prompts`; entries of a type that begins with `free_form` are asked, others are skipped.
    Raises ValueError naming file, entry and fault: an unknown key, a judge prompt of another name
    or with another slot than {question} and {answer}, an id or a wording that stands twice (white
    space and the writing of marks aside) among them.
    """
    questions: dict[str, Question] = {}
    asked: dict[tuple[str, str, float], str] = {}
    for path in _files(source):
        for number, entry in enumerate(_entries(path), start=1):
            where = f"{path}: entry {number}"
            fault = _fault(entry)
            if fault:
                raise ValueError(f"{where}: {fault}")
            if not entry.get("type", "free_form").startswith("free_form"):
                continue
            if entry["id"] in questions:
                raise ValueError(f"{where}: the id {entry['id']!r} stands twice; rename one")
            question = Question(
                id=entry["id"],
                paraphrases=[text.strip() for text in entry["paraphrases"]],
                system=entry.get("system"),
                temperature=float(entry.get("temperature", temperature)),
                samples=entry.get("samples_per_paraphrase", samples),
                judge_prompts=entry.get("judge_prompts") or {},
                source=path.name,
            )
            for text in question.paraphrases:
                key = (_words(question.system or ""), _words(text), question.temperature)
                if key in asked:
                    raise ValueError(
                        f"{where}: {question.id}: the wording {text[:60]!r} stands in "
                        f"{asked[key]} too, and would count twice; remove one"
                    )
                asked[key] = question.id
            questions[question.id] = question
    if not questions:
        raise ValueError(f"{source}: no free-form question in it; add one")
    return list(questions.values())


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        return sorted(p for p in source.iterdir() if p.suffix.lower() in (".yaml", ".yml"))
    if not source.exists():
        raise ValueError(
            f"{source}: no such file or folder; mend respond_questions.source in params.yaml"
        )
    return [source]


def _entries(path: Path) -> list[Any]:
    entries = read_yaml(path)
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: a list of questions is expected; write one")
    return entries


def _words(text: str) -> str:
    """Equal for wordings that a reader takes for the same: spacing, and marks written apart."""
    return " ".join(normalize("NFC", text).split())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not LONE_SURROGATE.search(value) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """A value for a message: its text, or its kind where that may be of any size."""
    simple = isinstance(value, (str, float, bool, NoneType, date)) or (
        isinstance(value, int) and abs(value) < 10**30
    )
    return printable(repr(value))[:60] if simple else f"a {type(value).__name__}"


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return "a mapping with id and paraphrases is expected"
    name = entry.get("id")
    if name is None:
        return "no `id`; give it one"
    if not _is_text(name) or name != printable(name):
        return f"`id` {_shown(name)} is no text of one line; write it in quotes"
    told = _shown(name)[1:-1]
    unknown = [key for key in entry if key not in KEYS]
    if unknown:
        return f"{told}: unknown key {_shown(unknown[0])}; there are {', '.join(sorted(KEYS))}"
    if "type" in entry and not _is_text(entry["type"]):
        return f"{told}: `type` {_shown(entry['type'])} is no text; write free_form or remove it"
    wordings = entry.get("paraphrases")
    if not isinstance(wordings, list) or not wordings:
        return f"{told}: no list `paraphrases`; give it one"
    for text in wordings:
        if not _is_text(text):
            empty = isinstance(text, str) and not text.strip()
            kind = "an empty paraphrase" if empty else f"paraphrase {_shown(text)} is no text"
            return f"{told}: {kind}; mend or remove it"
    if entry.get("system") is not None and not _is_text(entry["system"]):
        return f"{told}: `system` is no text; write one, or remove the key"
    temperature = entry.get("temperature", 1.0)
    if not _is_number(temperature) or not 0 <= temperature <= HIGHEST_TEMPERATURE:
        return f"{told}: `temperature` {_shown(temperature)} is no number of at least 0" + (
            f" and at most {HIGHEST_TEMPERATURE:g}" if _is_number(temperature) else ""
        )
    samples = entry.get("samples_per_paraphrase", 1)
    if not isinstance(samples, int) or not _is_number(samples) or samples < 1:
        return f"{told}: `samples_per_paraphrase` {_shown(samples)} is no count of at least 1"
    if samples > MOST_SAMPLES:
        return (
            f"{told}: `samples_per_paraphrase` {_shown(samples)} is more than {MOST_SAMPLES:,}; "
            "lower it"
        )
    prompts = entry.get("judge_prompts")
    if prompts is not None and not isinstance(prompts, dict):
        return f"{told}: `judge_prompts` is no mapping of names to prompts"
    for metric, prompt in (prompts or {}).items():
        if metric not in JUDGED:
            there = ", ".join(JUDGED)
            return f"{told}: `judge_prompts`: no metric {_shown(metric)}; there are {there}"
        if fault := _prompt_fault(prompt):
            return f"{told}: `judge_prompts` {metric} {fault}"
    return None


def _prompt_fault(prompt: Any) -> str | None:
    """What is wrong with a prompt that a judge is to be asked by."""
    if not _is_text(prompt):
        return "is no text"
    braces = "write {question} and {answer}, and {{ and }} for braces"
    try:
        slots = [part for part in Formatter().parse(prompt) if part[1] is not None]
    except ValueError:
        return f"has a single {{ or }} in it; {braces}"
    for _, name, form, conversion in slots:
        if name not in ("question", "answer") or form or conversion:
            return f"has another slot in it, {_shown(name)}; {braces}"
    for name in ("question", "answer"):
        if name not in [slot[1] for slot in slots]:
            return f"has no {{{name}}} in it"
    return None


def paragraphs(path: Path) -> list[str]:
    """The lines of a text file that are not empty: one paragraph each, each of them once."""
    found: dict[str, int] = {}
    for number, line in text_lines(path):
        if len(line.split()) < 2:  # the first token is given, and one is to be predicted
            raise ValueError(
                f"{path}:{number}: {line[:80]!r} is no paragraph; write a few sentences"
            )
        if line in found:
            raise ValueError(
                f"{path}:{number}: the same paragraph as line {found[line]}; remove it"
            )
        found[line] = number
    if not found:
        raise ValueError(f"{path}: no paragraph in it; add plain text, one paragraph a line")
    return list(found)
