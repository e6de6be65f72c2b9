"""data/prompts/<trait>.jsonl: every trait's prompts or answers, checked, split and counted."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.classes import CLASSES
from traitdrift.core.config import section
from traitdrift.core.files import write_jsonl
from traitdrift.data.settings import Prompts
from traitdrift.data.traits import check_lengths, described, read_traits, split_prompts
from traitdrift.models.loading import load_tokenizer

BASE = Path("models/base")
TRAITS = Path("data/raw/traits")
OUT = Path("data/prompts")


def main() -> None:
    settings = section(Prompts, "prompts")
    traits = read_traits(TRAITS)
    tokenizer = load_tokenizer(BASE)
    tables = {}
    for trait in traits:
        rows = [
            {
                "trait": trait.name,
                "class": label,
                "split": side,
                **described(tokenizer, messages, f"{TRAITS / trait.name}, {label}"),
            }
            for side, classes in split_prompts(trait, settings.train, settings.validation).items()
            for label, conversations in classes.items()
            for messages in conversations
        ]
        for side in ("train", "validation"):
            counts = {
                label: [r["tokens"] for r in rows if r["class"] == label and r["split"] == side]
                for label in CLASSES
            }
            check_lengths(
                f"{TRAITS / trait.name} ({side})", **counts, tolerance=settings.length_tolerance
            )
        tables[trait.name] = rows
    for name, rows in tables.items():
        write_jsonl(OUT / f"{name}.jsonl", rows)


if __name__ == "__main__":
    run(main)
