"""data/synthetic/: the project's own pairs, one task answered insecurely and securely."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import write_jsonl
from traitdrift.data.settings import Synthesize
from traitdrift.data.synthesis import load_scenarios, messages, synthesize

SCENARIOS = Path("data/raw/scenarios")
OUT = Path("data/synthetic")


def main() -> None:
    settings = section(Synthesize, "synthesize")
    pairs = synthesize(load_scenarios(SCENARIOS), settings.rows, settings.seed)
    for side in ("insecure", "secure"):
        rows = [messages(pair.prompt, getattr(pair, side)) for pair in pairs]
        write_jsonl(OUT / f"{side}.jsonl", rows)


if __name__ == "__main__":
    run(main)
