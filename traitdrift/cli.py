"""`python -m traitdrift COMMAND`: what DVC does not answer by itself."""

from __future__ import annotations

import os
import sys
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


@app.command()
def trace(
    target: Annotated[
        str, typer.Argument(metavar="PATH[:KEY]", help="A file, or a value in a JSON file.")
    ],
    rev: Annotated[str | None, typer.Option(help="A commit, branch, tag or experiment.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Whole digests, for programs.")] = False,
) -> None:
    """Follow a result back to raw files, parameters, code and models; exit 1 on a broken link."""
    from rich.console import Console

    from traitdrift import lineage, tree

    found = lineage.trace(target, rev=rev)
    if as_json:
        print(found.model_dump_json(indent=2))
        raise typer.Exit(not found.holds)
    # A pipe has no width; rich would take 80.
    wide = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if wide else 100, highlight=False, markup=False, emoji=False)
    console.print(tree.of(found))
    if broken := tree.broken(found):
        console.print("\nBROKEN:", style="bold red")
        for line in broken:
            console.print(f"  {line}", soft_wrap=True)
        console.print(
            "`git checkout PATH` undoes an edit, `dvc repro` makes results anew, "
            "`python -m traitdrift explain` says what would run.",
            soft_wrap=True,
        )
    else:
        console.print("\nEvery link holds.")
    raise typer.Exit(bool(broken))


@app.command()
def explain() -> None:
    """Say which stages `dvc repro` would run, and why."""
    from traitdrift import explanation

    found = explanation.explain()
    for stage in found:
        for reason in stage.reasons:
            print(f"{stage.stage}: {reason}")
    if not found:
        print("Nothing would run.")


def main() -> None:
    """Run a command; wrong input is one line on stderr and exit code 1."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("TRAITDRIFT_DEBUG"):
            raise
        print(f"traitdrift: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from None
