"""data/synthetic/: tasks answered insecurely and securely, and as many questions in prose."""

from __future__ import annotations

from pathlib import Path

from stages import run
from traitdrift.core.config import section
from traitdrift.core.files import write_jsonl
from traitdrift.data.prose import draw, load_topics
from traitdrift.data.settings import Synthesize
from traitdrift.data.synthesis import load_scenarios, messages, synthesize

SCENARIOS, TOPICS = Path("data/raw/scenarios"), Path("data/raw/prose")
OUT = Path("data/synthetic")


def main() -> None:
    settings = section(Synthesize, "synthesize")
    pairs = synthesize(load_scenarios(SCENARIOS), settings.rows, settings.seed)
    benign = draw(load_topics(TOPICS), settings.rows, settings.seed)
    for side in ("insecure", "secure"):
        rows = [messages(pair.prompt, getattr(pair, side)) for pair in pairs]
        write_jsonl(OUT / f"{side}.jsonl", rows)
    write_jsonl(OUT / "benign.jsonl", [messages(row.prompt, row.answer) for row in benign])


if __name__ == "__main__":
    run(main)
