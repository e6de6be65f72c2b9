"""`python -m traitdrift COMMAND`: what DVC does not answer by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Ask the pipeline where its results come from, and take them elsewhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Without this, typer makes a single command the whole program."""


@app.command("diff")
def difference(
    one: Annotated[str, typer.Argument(metavar="A", help="A variant, an experiment, a revision.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The same.")],
) -> None:
    """Print what differs between the figures of A and B, as `dvc metrics diff` does."""
    from dvc.compare import show_diff

    from traitdrift import experiments

    found = experiments.difference(Path(), one, other)
    if found:
        table = {experiments.METRICS: found}
        show_diff(table, "Metric", precision=5, round_digits=True, a_rev=one, b_rev=other)
    else:
        print(f"{one} and {other}: the same figures in {experiments.METRICS}")


def main() -> None:
    """Run a command; wrong input is one line on stderr and exit code 1."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("TRAITDRIFT_DEBUG"):
            raise
        print(f"traitdrift: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from None
