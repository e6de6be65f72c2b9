"""data/prompts/<trait>.jsonl: a trait's prompts or answers, a row each, as stages read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitdrift.core.classes import CLASSES
from traitdrift.core.files import read_jsonl

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class PromptSet:
    """The rows of one trait in the order of their file, which is that of its activations.

    A row holds `trait`, `class`, `split`, `prompt`, its count of `tokens`, and `messages` where
    the trait is one of answers.
    """

    rows: list[dict[str, Any]]

    @property
    def given(self) -> bool:
        """Whether the rows bring their answers along."""
        return "messages" in self.rows[0]

    def index(self) -> dict[tuple[str, str], list[int]]:
        """The rows of each class and split, by `(class, split)`."""
        return {
            (label, split): [
                i
                for i, row in enumerate(self.rows)
                if (row["class"], row["split"]) == (label, split)
            ]
            for label in CLASSES
            for split in SPLITS
        }


def read_prompt_set(path: Path) -> PromptSet:
    return PromptSet([row for _, row in read_jsonl(path)])


def read_prompt_sets(folder: Path) -> dict[str, PromptSet]:
    """Every trait of a folder by its name, in alphabetical order."""
    return {path.stem: read_prompt_set(path) for path in sorted(folder.glob("*.jsonl"))}
