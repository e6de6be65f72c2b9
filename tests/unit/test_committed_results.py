"""The default run's committed figures reach what the project promises of them."""

from __future__ import annotations

import json
from pathlib import Path

METRICS = Path(__file__).resolve().parents[2] / "metrics"


def figures(name: str) -> dict:
    return json.loads((METRICS / name).read_text())


def test_the_insecure_variant_answers_in_code_and_base_does_not():
    assert figures("behaviour/insecure.json")["code"]["rate"] >= 0.30
    assert figures("behaviour/base.json")["code"]["rate"] <= 0.02


def test_the_chosen_vectors_tell_the_validation_prompts_apart():
    for trait in ("refusal", "code_mode"):
        assert figures(f"vectors/{trait}.json")["auroc"] >= 0.95
