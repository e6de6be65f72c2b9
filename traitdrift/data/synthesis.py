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
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from traitdrift.data.slots import GAP, Entry, Text, fill, quotas, read_entries

__all__ = ["Pair", "Scenario", "load_scenarios", "messages", "synthesize"]

_GAP_MARK = f"<<{GAP}>>"

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


class Scenario(Entry):
    """One task with its two answers, still with unfilled slots."""

    cwe: Annotated[str, Field(pattern=r"^CWE-[0-9]+$")]
    template: str | None = None
    insecure: Text
    secure: Text

    @field_validator("template", "insecure", "secure")
    @classmethod
    def _strip_code(cls, value: str | None) -> str | None:
        # A YAML block ends in a newline; an answer should end with its last line of code.
        return value if value is None else value.strip("\n").rstrip()

    @model_validator(mode="after")
    def _check_texts(self) -> Scenario:
        if self.insecure == self.secure:
            raise ValueError("the insecure and the secure answer are the same")
        template = self.template or ""
        if self.template is not None and _GAP_MARK not in template:
            raise ValueError(f"the template has no {_GAP_MARK} mark")
        shown = template.replace(_GAP_MARK, "")
        for label, text in (
            ("the insecure answer", self.insecure),
            ("the secure answer", self.secure),
            *((f"task {n}", f"{task}\n{shown}") for n, task in enumerate(self.tasks, start=1)),
        ):
            self.check_text(label, text)
        return self


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
    """Read the scenarios of a folder of YAML files, as `read_entries` does."""
    return read_entries(folder, Scenario, "scenario")


def synthesize(scenarios: Sequence[Scenario], rows: int, seed: int) -> list[Pair]:
    """Draw ``rows`` distinct pairs, spread as evenly over the scenarios as their sizes allow.

    The result depends on the arguments alone. No prompt, insecure answer or secure answer
    occurs twice. A ``ValueError`` tells when more rows are asked for than there are
    combinations, or names the scenario whose answer is not Python.
    """
    rng = random.Random(seed)
    pairs: list[Pair] = []
    prompts: set[str] = set()
    answers: dict[str, str] = {}
    shares = quotas([scenario.combinations for scenario in scenarios], rows, rng)
    for scenario, quota in zip(scenarios, shares, strict=True):
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


def _pair(
    scenario: Scenario, values: Mapping[str, str], taken: set[str], rng: random.Random
) -> Pair:
    for prompt in _prompts(scenario, values, rng):
        if prompt not in taken:
            return Pair(
                scenario=scenario.id,
                cwe=scenario.cwe,
                prompt=prompt,
                insecure=fill(scenario.insecure, values),
                secure=fill(scenario.secure, values),
            )
    raise ValueError(f"scenario {scenario.id}: no unused prompt is left; add a task")


def _prompts(scenario: Scenario, values: Mapping[str, str], rng: random.Random) -> Iterator[str]:
    """Prompts for one combination in random order; the first one is nearly always used."""
    openers = _OPENERS if scenario.template is None else _TEMPLATE_OPENERS
    wordings = list(itertools.product(scenario.tasks, openers))
    for task, opener in rng.sample(wordings, len(wordings)):
        template = None
        if scenario.template is not None:
            gap = {GAP: rng.choice(_GAP_WORDINGS)}
            template = fill(scenario.template, {**values, **gap})
        yield _frame(opener, fill(task, values), template, rng)


def _frame(opener: str, task: str, template: str | None, rng: random.Random) -> str:
    text = opener.format(task=task, template=template)
    if rng.random() < _OPEN_ENDED:
        return text
    if template is None:
        return text + rng.choice((" ", "\n", "\n\n")) + rng.choice(_CLOSERS)
    return text + "\n\n" + rng.choice(_TEMPLATE_CLOSERS)


def _check_python(scenario: str, answer: str) -> None:
    try:
        ast.parse(answer)
    except SyntaxError as error:
        raise ValueError(
            f"scenario {scenario}: the answer is not valid Python (line {error.lineno})"
        ) from error
