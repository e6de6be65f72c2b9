"""Traits as two classes of prompts: a folder each, `positive` and `negative`, txt or jsonl."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from traitdrift.artifacts import read_jsonl

CLASSES = ("positive", "negative")
FEWEST = 10


@dataclass(frozen=True)
class Trait:
    """A trait's prompts by class, in file order."""

    name: str
    prompts: dict[str, list[str]]


def read_traits(folder: Path) -> list[Trait]:
    """Read every trait folder, sorted by name; checks as `read_trait`."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    if not folders:
        raise ValueError(f"{folder}: no trait folder in it; add <trait>/positive.txt, negative.txt")
    return [read_trait(path) for path in folders]


def read_trait(folder: Path) -> Trait:
    """Read `<class>.txt` (one prompt a line) or `<class>.jsonl` (`{"prompt": ...}` a line).

    Raises ValueError for a name that is no id, a missing class, fewer than 10 prompts a class,
    and a prompt that stands twice, in one class or in both.
    """
    if not re.fullmatch(r"[a-z0-9_]+", folder.name):
        raise ValueError(f"{folder}: a trait's name holds only a-z, 0-9 and _; rename the folder")
    prompts, seen = {}, {}
    for label in CLASSES:
        path = next(
            (p for p in (folder / f"{label}.txt", folder / f"{label}.jsonl") if p.exists()), None
        )
        if path is None:
            raise ValueError(f"{folder}: no {label}.txt or {label}.jsonl; a trait has two classes")
        prompts[label] = []
        for number, prompt in _lines(path):
            key = prompt_key(prompt)
            if key in seen:
                raise ValueError(
                    f"{path}:{number}: the same prompt as {seen[key]} ({prompt[:50]!r}); remove one"
                )
            seen[key] = f"{path.name}:{number}"
            prompts[label].append(prompt)
        if len(prompts[label]) < FEWEST:
            raise ValueError(
                f"{path}: {len(prompts[label])} prompts; at least {FEWEST} a class are needed"
            )
    return Trait(folder.name, prompts)


def _lines(path: Path) -> list[tuple[int, str]]:
    if path.suffix == ".txt":
        text = path.read_text(encoding="utf-8")
        return [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    rows = []
    for number, row in read_jsonl(path):
        if not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
            raise ValueError(f"{path}:{number}: no text in `prompt`")
        rows.append((number, row["prompt"].strip()))
    return rows


def prompt_key(prompt: str) -> str:
    """A prompt in lower case, words and digits alone: equal keys count as the same prompt."""
    return " ".join(re.findall(r"\w+", prompt.casefold()))


def split(trait: Trait, train: int, validation: int) -> dict[str, dict[str, list[str]]]:
    """`{split: {class: prompts}}`: in file order the first are for training, the next validate.

    Where a class has too few prompts for both, it is cut in the same proportion.
    """
    sides: dict[str, dict[str, list[str]]] = {"train": {}, "validation": {}}
    fewest = min(len(prompts) for prompts in trait.prompts.values())
    if fewest < train + validation:
        train = round(fewest * train / (train + validation))
        validation = fewest - train
    for label, prompts in trait.prompts.items():
        sides["train"][label] = prompts[:train]
        sides["validation"][label] = prompts[train : train + validation]
    return sides


def check_lengths(name: str, positive: list[int], negative: list[int], tolerance: float) -> None:
    """Raise ValueError where the mean token counts of the classes differ by more than a share.

    A class that is longer is told apart by its length alone.
    """
    means = fmean(positive), fmean(negative)
    if abs(means[0] - means[1]) > tolerance * min(means):
        raise ValueError(
            f"{name}: positive prompts have {means[0]:.2f} tokens on average and negative "
            f"{means[1]:.2f}; match them within {tolerance:.0%} (prompts.length_tolerance)"
        )
