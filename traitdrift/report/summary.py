"""A variant's figures in one flat table, for comparison line by line."""

from __future__ import annotations

from typing import Any


def summary(compared: dict[str, Any], behaviour: dict[str, Any]) -> dict[str, float]:
    """Projections, gap and AUROC of every trait and choice of vector, and the answers' rates.

    `compared` and `behaviour` are the contents of metrics/{compare,behaviour}/<variant>.json.
    """
    figures: dict[str, float] = {}
    for trait, choices in compared.items():
        for name, table in choices.items():
            for label in ("positive", "negative", "gap"):
                figures[f"{trait}.{name}.{label}"] = table[label]["variant"]["value"]
            figures[f"{trait}.{name}.auroc"] = table["auroc"]["variant"]
    for outcome in ("code", "refusal", "prose"):
        figures[f"answers.{outcome}"] = behaviour[outcome]["rate"]
    return figures
