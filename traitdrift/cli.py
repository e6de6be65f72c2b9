"""`python -m traitdrift COMMAND`: what DVC does not answer by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

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
def export(
    vectors: Annotated[Path, typer.Argument(help="models/vectors/<trait>.safetensors")],
    to: Annotated[Literal["repeng", "steering-vectors"], typer.Option(help="Who is to read it.")],
    out: Annotated[Path, typer.Option(help="GGUF for repeng, safetensors for steering-vectors.")],
    position: Annotated[str | None, typer.Option(help="Default: the chosen one.")] = None,
    method: Annotated[str | None, typer.Option(help="Default: the chosen one.")] = None,
    layer: Annotated[int | None, typer.Option(help="Default: the chosen one.")] = None,
    coefficient: Annotated[
        float | None, typer.Option(help="What a strength of 1 there adds, of base's mean norm.")
    ] = None,
    raw_coefficient: Annotated[
        float | None, typer.Option(help="The same in the stream's own units.")
    ] = None,
    model_type: Annotated[
        str | None, typer.Option(help="For repeng: `model_type` in the model's config.json.")
    ] = None,
) -> None:
    """Write one trait vector as another steering library reads it.

    A strength of 1 there adds base's mean norm in that layer, if nothing else is said.
    """
    from traitdrift import load_vectors
    from traitdrift.export import save_for_repeng, save_for_steering_vectors

    if coefficient is None and raw_coefficient is None:
        coefficient = 1.0
    chosen = load_vectors(vectors, position, method, layer)
    added = chosen.scaled(coefficient, raw_coefficient)
    if to == "steering-vectors":
        save_for_steering_vectors(out, chosen, added)
    elif model_type is None:
        raise ValueError("--to repeng: give --model-type, as in the model's config.json (llama)")
    else:
        save_for_repeng(out, chosen, added, model_type)
    print(
        f"{out}: {chosen.trait}, {chosen.position}/{chosen.method}, after block {chosen.layer} "
        f"(the first is 0); a strength of 1 adds a vector of norm {added.norm():.4g}"
    )


def main() -> None:
    """Run a command; wrong input is one line on stderr and exit code 1."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("TRAITDRIFT_DEBUG"):
            raise
        print(f"traitdrift: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from None
