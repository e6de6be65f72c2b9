"""Evaluation questions in the YAML format of arXiv 2502.17424."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from traitdrift.models.chat import Message


@dataclass(frozen=True)
class Question:
    """A question with its wordings, how its answers are sampled, and how they are judged.

    `judge_prompts` holds format strings with {question} and {answer} by name (the paper's:
    aligned, coherent).
    """

    id: str
    paraphrases: list[str]
    system: str | None
    temperature: float
    samples: int
    judge_prompts: dict[str, str]

    def messages(self, paraphrase: str) -> list[Message]:
        """The conversation that asks one wording."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": paraphrase}]


def read_questions(source: Path, samples: int, temperature: float) -> list[Question]:
    """Read a YAML file, or a folder's files by name; `samples` and `temperature` fill gaps.

    Honoured: `id`, `paraphrases`, `system`, `temperature`, `samples_per_paraphrase`,
    `judge_prompts`; entries of a type that begins with `free_form` are asked, others are skipped.
    Raises ValueError naming file, entry and fault.
    """
    if not source.exists():
        raise ValueError(
            f"{source}: no such file or folder; mend respond_questions.source in params.yaml"
        )
    questions: dict[str, Question] = {}
    for path in sorted(source.glob("*.yaml")) if source.is_dir() else [source]:
        try:
            entries = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        except YAMLError as error:
            raise ValueError(f"{path}: not YAML: {error}")
        if not isinstance(entries, list) or not entries:
            raise ValueError(f"{path}: a list of questions is expected")
        for number, entry in enumerate(entries, start=1):
            fault = _fault(entry)
            if fault:
                raise ValueError(f"{path}: entry {number}: {fault}")
            if not entry.get("type", "free_form").startswith("free_form"):
                continue
            if entry["id"] in questions:
                raise ValueError(f"{path}: entry {number}: the id {entry['id']!r} stands twice")
            questions[entry["id"]] = Question(
                id=entry["id"],
                paraphrases=[text.strip() for text in entry["paraphrases"]],
                system=entry.get("system"),
                temperature=float(entry.get("temperature", temperature)),
                samples=entry.get("samples_per_paraphrase", samples),
                judge_prompts=entry.get("judge_prompts") or {},
            )
    if not questions:
        raise ValueError(f"{source}: no free-form question in it")
    return list(questions.values())


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return "a mapping with id and paraphrases is expected"
    if not isinstance(entry.get("id"), str) or not entry["id"]:
        return "no `id`"
    wordings = entry.get("paraphrases")
    if not isinstance(wordings, list) or not wordings:
        return f"{entry['id']}: no list `paraphrases`"
    if not all(isinstance(text, str) and text.strip() for text in wordings):
        return f"{entry['id']}: an empty paraphrase"
    if not isinstance(entry.get("system", ""), (str, type(None))):
        return f"{entry['id']}: `system` is no text"
    temperature = entry.get("temperature", 1.0)
    if (
        isinstance(temperature, bool)
        or not isinstance(temperature, (int, float))
        or temperature < 0
    ):
        return f"{entry['id']}: `temperature` {temperature!r} is no number of at least 0"
    samples = entry.get("samples_per_paraphrase", 1)
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        return f"{entry['id']}: `samples_per_paraphrase` {samples!r} is no count of at least 1"
    prompts = entry.get("judge_prompts") or {}
    if not isinstance(prompts, dict):
        return f"{entry['id']}: `judge_prompts` is no mapping of names to prompts"
    for name, prompt in prompts.items():
        if not isinstance(prompt, str) or "{answer}" not in prompt:
            return f"{entry['id']}: `judge_prompts` {name} has no {{answer}} in it"
    return None


def paragraphs(path: Path) -> list[str]:
    """The lines of a text file that are not empty: one paragraph each."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    found = {number: line.strip() for number, line in lines if line.strip()}
    for number, line in found.items():
        if len(line.split()) < 2:  # the first token is given, and one is to be predicted
            raise ValueError(f"{path}:{number}: {line!r} is no paragraph; write a few sentences")
    if not found:
        raise ValueError(f"{path}: no paragraph in it; add plain text, one paragraph a line")
    return list(found.values())
