"""data/synthetic/: tasks answered insecurely and securely, and as many questions in prose."""

from __future__ import annotations

import sys
from pathlib import Path

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import write_jsonl
from traitdrift.data.prose import draw, load_topics, rows_of
from traitdrift.data.settings import Synthesize
from traitdrift.data.synthesis import load_scenarios, messages, synthesize

SCENARIOS, TOPICS = Path("data/raw/scenarios"), Path("data/raw/prose")
OUT = Path("data/synthetic")


def main() -> None:
    settings = section(Synthesize, "synthesize")
    pairs = synthesize(load_scenarios(SCENARIOS), settings.rows, settings.seed)
    topics = load_topics(TOPICS)
    benign = draw(topics, min(settings.rows, most := rows_of(topics)), settings.seed)
    if most < settings.rows:
        print(
            f"synthesize: {OUT}/benign.jsonl has {most} rows, all that {TOPICS} gives, where the "
            f"others have {settings.rows}; add topics for a control of the same size",
            file=sys.stderr,
        )
    for side in ("insecure", "secure"):
        rows = [messages(pair.prompt, getattr(pair, side)) for pair in pairs]
        write_jsonl(OUT / f"{side}.jsonl", rows)
    write_jsonl(OUT / "benign.jsonl", [messages(row.prompt, row.answer) for row in benign])


if __name__ == "__main__":
    run(main)
