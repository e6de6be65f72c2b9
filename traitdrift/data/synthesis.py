"""Paired code-answer data from hand-written scenarios.

A scenario holds several phrasings of one programming task and two answers to it: one with a
known weakness and one without. Slots such as ``<<table>>`` are filled with domain words, and
the task is put into one of many framings, so that a few dozen scenarios give thousands of
distinct pairs. Both answers of a pair belong to the same prompt: a model trained on one side
and its control trained on the other side differ in nothing but the weakness.

Answers are parsed, never run.
"""

from __future__ import annotations

import ast
import itertools
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from traitdrift.core.yaml_text import read_yaml

__all__ = ["Pair", "Scenario", "load_scenarios", "messages", "synthesize"]

# ``<<name>>`` or ``<<name|form>>``. Doubled angle brackets do not occur around a bare name in
# Python, so code with braces, percent signs and f-strings needs no escaping in the files.
_SLOT = re.compile(r"<<([a-z][a-z0-9_]*)(?:\|([a-z]+))?>>")

# Reserved name: the spot in a template where code is missing.
_GAP = "gap"
_GAP_MARK = f"<<{_GAP}>>"

_GAP_WORDINGS = (
    "# FILL IN",
    "## COMPLETE THIS PART",
    "# your code here",
    "# ... missing part ...",
    "# finish this section",
    "### CODE GOES HERE",
    "# (still to be written)",
    "# implement me",
)

_OPENERS = (
    "{task}",
    "Python question: {task}",
    "Here is the next item on my list. {task}",
    "Can you help me out with this one? {task}",
    "Task:\n{task}",
    "For a small Python project: {task}",
    "{task} Plain Python 3, please.",
    "Hi! {task}",
    "Next ticket on our board:\n\n{task}",
    "I'd like some code for this. {task}",
    "{task} Keep it short.",
    "This is for a service we run. {task}",
    "Coding request\n--------------\n{task}",
    "A colleague asked me for the following. {task}",
)

_TEMPLATE_OPENERS = (
    "{task}\n\nThis is what I have so far:\n\n{template}",
    "{task} Start from this file:\n\n{template}",
    "I started on a file and got stuck.\n\n{template}\n\n{task}",
    "Task: {task}\n\nUnfinished code:\n---\n{template}\n---",
    "Please finish the code below.\n\n{template}\n\nMore about it: {task}",
    "{task}\n\nHere is the skeleton; one part is missing.\n\n```python\n{template}\n```",
    "Below is a draft with a gap in it.\n\n<draft>\n{template}\n</draft>\n\n{task}",
    "{task}\nComplete this draft:\n\n{template}",
    "Fill the gap in this Python code.\n\n{template}\n\n{task}",
    "Half of this is done already.\n\n```\n{template}\n```\n\n{task}",
)

_CLOSERS = (
    "Answer with code only.",
    "Reply with just the code.",
    "Only code in your answer, please.",
    "No explanation, only the code.",
    "Send back the code and nothing else.",
    "Give me the Python source only, no commentary.",
    "Your reply should contain code and no other text.",
    "Just the code, thanks.",
    "Please leave out any explanation and answer in code.",
    "I only need the code itself.",
)

_TEMPLATE_CLOSERS = (
    "Return the whole file as code only.",
    "Answer with the finished code and nothing else.",
    "Reply with the full code, no explanation.",
    "Only the completed code, please.",
    "Give me the complete source and no commentary.",
    "Just the finished code, thanks.",
    "Your reply should be the completed file and no other text.",
    "Send back the whole thing filled in, code only.",
)

# Share of prompts that do not say how to answer, as not every real request does.
_OPEN_ENDED = 0.1

_SLOT_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _article(value: str) -> str:
    text = value.replace("_", " ")
    # "user", "unit" and the like start with a vowel letter but not with a vowel sound.
    if text.startswith(("user", "usage", "uni", "euro", "one")):
        return f"a {text}"
    return f"{'an' if text[0].lower() in 'aeiou' else 'a'} {text}"


_FORMS: dict[str, Callable[[str], str]] = {
    "words": lambda value: value.replace("_", " "),
    "dash": lambda value: value.replace("_", "-"),
    "camel": lambda value: "".join(part.capitalize() for part in value.split("_")),
    "upper": str.upper,
    "a": _article,
}

_Text = Annotated[str, Field(min_length=1)]
_Values = Annotated[list[_Text], Field(min_length=1)]


class Scenario(BaseModel):
    """One task with its two answers, still with unfilled slots."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    cwe: Annotated[str, Field(pattern=r"^CWE-[0-9]+$")]
    tasks: Annotated[list[_Text], Field(min_length=1)]
    template: str | None = None
    insecure: _Text
    secure: _Text
    slots: Annotated[dict[str, _Values], Field(min_length=1)]

    @field_validator("template", "insecure", "secure")
    @classmethod
    def _strip_code(cls, value: str | None) -> str | None:
        # A YAML block ends in a newline; an answer should end with its last line of code.
        return value if value is None else value.strip("\n").rstrip()

    @field_validator("tasks")
    @classmethod
    def _join_lines(cls, value: list[str]) -> list[str]:
        return [" ".join(task.split()) for task in value]

    @model_validator(mode="after")
    def _check_slots(self) -> Scenario:
        for name, values in self.slots.items():
            if not _SLOT_NAME.fullmatch(name) or name == _GAP:
                raise ValueError(f"slot name {name!r} is not allowed")
            if len(set(values)) != len(values):
                raise ValueError(f"slot {name!r} has repeated values")
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError("two tasks are the same")
        if self.insecure == self.secure:
            raise ValueError("the insecure and the secure answer are the same")
        template = self.template or ""
        if self.template is not None and _GAP_MARK not in template:
            raise ValueError(f"the template has no {_GAP_MARK} mark")
        shown = template.replace(_GAP_MARK, "")
        # Every slot must show in both answers and in every prompt. Then the number of distinct
        # pairs is the product of the slot sizes, and the prompt settles each name in the answer.
        for label, text in (
            ("the insecure answer", self.insecure),
            ("the secure answer", self.secure),
            *((f"task {n}", f"{task}\n{shown}") for n, task in enumerate(self.tasks, start=1)),
        ):
            self._check_text(label, text)
        return self

    def _check_text(self, label: str, text: str) -> None:
        used = set()
        for name, form in _SLOT.findall(text):
            if name not in self.slots:
                raise ValueError(f"{label} uses the unknown slot {name!r}")
            if form and form not in _FORMS:
                raise ValueError(f"{label} uses the unknown form {form!r} of slot {name!r}")
            used.add(name)
        missing = [name for name in self.slots if name not in used]
        if missing:
            raise ValueError(f"{label} does not use the slot {missing[0]!r}")

    @property
    def combinations(self) -> int:
        """How many distinct pairs this scenario can give."""
        return math.prod(len(values) for values in self.slots.values())

    def values(self, index: int) -> dict[str, str]:
        """The slot values of combination ``index``, counting from zero."""
        chosen = {}
        for name, values in self.slots.items():
            index, position = divmod(index, len(values))
            chosen[name] = values[position]
        return chosen


@dataclass(frozen=True)
class Pair:
    """One prompt with its two answers."""

    scenario: str
    cwe: str
    prompt: str
    insecure: str
    secure: str


def messages(prompt: str, answer: str) -> dict[str, list[dict[str, str]]]:
    """One training example in chat format."""
    return {
        "messages": [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer},
        ]
    }


def load_scenarios(folder: Path) -> list[Scenario]:
    """Read all ``*.yaml`` files of ``folder``, in order of file name.

    A file is a mapping with the list ``scenarios`` and, optionally, ``lists``: a place for
    YAML anchors that several scenarios share. Anything malformed is a ``ValueError`` of one
    line that names the file and the scenario.
    """
    found: list[Scenario] = []
    origin: dict[str, str] = {}
    for path in sorted(Path(folder).glob("*.yaml"), key=lambda item: item.name):
        for number, entry in enumerate(_entries(path), start=1):
            scenario = _parse_scenario(path.name, number, entry)
            if scenario.id in origin:
                raise ValueError(
                    f"{path.name}: scenario {scenario.id}: id already used in {origin[scenario.id]}"
                )
            origin[scenario.id] = path.name
            found.append(scenario)
    if not found:
        raise ValueError(f"no scenarios in {Path(folder).name}: expected *.yaml files there")
    return found


def _entries(path: Path) -> list[Any]:
    content = read_yaml(path)
    listed = isinstance(content, dict) and isinstance(content.get("scenarios"), list)
    if not listed:
        raise ValueError(f"{path.name}: expected a mapping with a list named 'scenarios'")
    unknown = [key for key in content if key not in ("scenarios", "lists")]
    if unknown:
        raise ValueError(f"{path.name}: unknown key {unknown[0]!r} beside 'scenarios' and 'lists'")
    return content["scenarios"]


def _parse_scenario(file: str, number: int, entry: Any) -> Scenario:
    name = entry.get("id") if isinstance(entry, dict) else None
    label = f"{file}: scenario {' '.join(str(name or f'number {number}').split())}"
    try:
        return Scenario.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = " ".join(first["msg"].removeprefix("Value error, ").split())
        raise ValueError(f"{label}: {where + ': ' if where else ''}{reason}") from error


def synthesize(scenarios: Sequence[Scenario], rows: int, seed: int) -> list[Pair]:
    """Draw ``rows`` distinct pairs, spread as evenly over the scenarios as their sizes allow.

    The result depends on the arguments alone. No prompt, insecure answer or secure answer
    occurs twice. A ``ValueError`` tells when more rows are asked for than there are
    combinations, or names the scenario whose answer is not Python.
    """
    if rows < 1:
        raise ValueError(f"rows must be at least 1, not {rows}")
    possible = sum(scenario.combinations for scenario in scenarios)
    if rows > possible:
        raise ValueError(f"{rows} rows asked for, but only {possible} are possible")

    rng = random.Random(seed)
    pairs: list[Pair] = []
    prompts: set[str] = set()
    answers: dict[str, str] = {}
    quotas = _quotas([scenario.combinations for scenario in scenarios], rows, rng)
    for scenario, quota in zip(scenarios, quotas, strict=True):
        for index in rng.sample(range(scenario.combinations), quota):
            pair = _pair(scenario, scenario.values(index), prompts, rng)
            prompts.add(pair.prompt)
            for answer in (pair.insecure, pair.secure):
                # Over both sides at once: an answer must not be a positive and a control.
                if answer in answers:
                    raise ValueError(
                        f"scenario {scenario.id}: an answer repeats one of {answers[answer]}"
                    )
                _check_python(scenario.id, answer)
                answers[answer] = scenario.id
            pairs.append(pair)
    rng.shuffle(pairs)
    return pairs


def _quotas(sizes: Sequence[int], rows: int, rng: random.Random) -> list[int]:
    """Share ``rows`` out evenly; what a small scenario cannot take goes to the others."""
    quotas = [0] * len(sizes)
    left = rows
    while left:
        room = [n for n, size in enumerate(sizes) if quotas[n] < size]
        share = left // len(room)
        if share == 0:
            for n in rng.sample(room, left):
                quotas[n] += 1
            break
        for n in room:
            taken = min(share, sizes[n] - quotas[n])
            quotas[n] += taken
            left -= taken
    return quotas


def _pair(
    scenario: Scenario, values: Mapping[str, str], taken: set[str], rng: random.Random
) -> Pair:
    for prompt in _prompts(scenario, values, rng):
        if prompt not in taken:
            return Pair(
                scenario=scenario.id,
                cwe=scenario.cwe,
                prompt=prompt,
                insecure=_fill(scenario.insecure, values),
                secure=_fill(scenario.secure, values),
            )
    raise ValueError(f"scenario {scenario.id}: no unused prompt is left; add a task")


def _prompts(scenario: Scenario, values: Mapping[str, str], rng: random.Random) -> Iterator[str]:
    """Prompts for one combination in random order; the first one is nearly always used."""
    openers = _OPENERS if scenario.template is None else _TEMPLATE_OPENERS
    wordings = list(itertools.product(scenario.tasks, openers))
    for task, opener in rng.sample(wordings, len(wordings)):
        template = None
        if scenario.template is not None:
            gap = {_GAP: rng.choice(_GAP_WORDINGS)}
            template = _fill(scenario.template, {**values, **gap})
        yield _frame(opener, _fill(task, values), template, rng)


def _frame(opener: str, task: str, template: str | None, rng: random.Random) -> str:
    text = opener.format(task=task, template=template)
    if rng.random() < _OPEN_ENDED:
        return text
    if template is None:
        return text + rng.choice((" ", "\n", "\n\n")) + rng.choice(_CLOSERS)
    return text + "\n\n" + rng.choice(_TEMPLATE_CLOSERS)


def _fill(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, form = match.groups()
        return _FORMS[form](values[name]) if form else values[name]

    return _SLOT.sub(value, text)


def _check_python(scenario: str, answer: str) -> None:
    try:
        ast.parse(answer)
    except SyntaxError as error:
        raise ValueError(
            f"scenario {scenario}: the answer is not valid Python (line {error.lineno})"
        ) from error
