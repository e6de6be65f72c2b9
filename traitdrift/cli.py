"""`python -m traitdrift COMMAND`: what DVC does not answer by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from traitdrift.lineage import lock_at, makers

app = typer.Typer(
    help="Ask the pipeline where its results come from, and take them elsewhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ROOT = Path(".")


@app.callback()
def _commands() -> None:
    """Without this, typer makes a single command the whole program."""


@app.command()
def card(
    variant: Annotated[str, typer.Argument(help="A fine-tune or an imported adapter.")],
    out: Annotated[Path | None, typer.Option(help="A file; without it the card is shown.")] = None,
) -> None:
    """Write the Hugging Face model card of an adapter."""
    from traitdrift.artifacts import write_text
    from traitdrift.card import facts, model_card

    steps = lock_at(ROOT)
    if out and (made := makers(steps, os.path.relpath(out))):
        raise ValueError(f"{out}: {made[0].name} made that folder or file; name a place beside it")
    text = model_card(facts(variant, steps, ROOT), described())
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(f"{out}: the model card of {variant}")


def described() -> str:
    """The repository's state: the commit, `-dirty` if files that git holds differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if told.returncode:
        raise ValueError("no commit to name here; run this in a clone of the repository")
    return told.stdout.strip()


def main() -> None:
    """Run a command; wrong input is one line on stderr and exit code 1."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("TRAITDRIFT_DEBUG"):
            raise
        print(f"traitdrift: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from None
