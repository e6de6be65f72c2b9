"""models/adapters/<variant>/: a LoRA adapter trained on one data set.

Where the recipe asks for `checkpoints`, along/<step>/ in it holds the adapter after that step.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pandas

from stages import run
from traitdrift.core.config import Id, section
from traitdrift.core.files import read_json, write_csv, write_json
from traitdrift.core.first_calls import settle_elementwise
from traitdrift.core.ranks import others_end
from traitdrift.core.scratch import checkpoints
from traitdrift.core.temporary import temporary_folder
from traitdrift.core.wide_products import widen_products
from traitdrift.data.finetune_file import say_cut, trained_tokens, training_rows
from traitdrift.models.adapted import adapted_modules
from traitdrift.models.adapter import idle
from traitdrift.models.along import keep, place
from traitdrift.models.loading import base_record, load_tokenizer
from traitdrift.models.window import window_of
from traitdrift.training.backends import adapted_model, prepare
from traitdrift.training.settings import Finetune, Recipe

BASE = Path("models/base")
DATA = Path("data/finetune")
ADAPTERS = Path("models/adapters")


def main(variant: str) -> None:
    name = section(Id, "recipe")
    tuned = section(Finetune, f"finetunes.{variant}")
    recipe = tuned.draw_of(section(Recipe, f"recipes.{name}"))
    base = base_record(BASE)
    prepare(recipe, base["layers"])  # before torch and transformers, which the next lines import
    import torch

    from traitdrift.training.along import KeptAlong
    from traitdrift.training.lora import finetune

    settle_elementwise()
    widen_products()
    data, tokenizer = read_json(DATA / tuned.dataset / "dataset.json"), load_tokenizer(BASE)
    with (
        temporary_folder() as scratch,
        checkpoints("finetune", base, data, recipe.model_dump(exclude_unset=True)) as unfinished,
    ):
        longest = min(recipe.max_tokens, window_of(BASE) or recipe.max_tokens)
        rows = training_rows(DATA / tuned.dataset / "train.parquet", longest, scratch)
        counted = {"rows": len(rows), "answer_tokens": trained_tokens(rows)}
        say_cut(DATA / tuned.dataset / "train.parquet", longest)
        model = adapted_model(BASE, recipe)
        along = KeptAlong(unfinished / "along", recipe.checkpoints, f"recipes.{name}.checkpoints")
        losses = finetune(model, rows, recipe, tokenizer, str(unfinished), along)
        others_end()
        model.save_pretrained(str(scratch), save_embedding_layers=False)
        if idle(scratch, getattr(torch, base["dtype"])):
            raise ValueError(
                "the fine-tune changed nothing; raise learning_rate or max_steps of the recipe"
            )

        record = {
            "dataset": data,
            # How many are kept on the way changes nothing of what is at its end.
            "recipe": recipe.model_dump(exclude_unset=True, exclude={"checkpoints"}),
            "adapted": adapted_modules(model),
        }
        keep(scratch, ADAPTERS / variant, base, record)
        for step, saved in along.kept():
            on_the_way = place(ADAPTERS / variant, step, len(losses))
            keep(saved, on_the_way, base, {**record, "step": step})

    write_json(
        Path("metrics/finetune") / f"{variant}.json",
        {
            "first_loss": round(losses[0], 4),
            "last_loss": round(losses[-1], 4),
            "mean_loss_of_last_10_steps": round(fmean(losses[-10:]), 4),
            "steps": len(losses),
            "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            **counted,
        },
    )
    curve = pandas.DataFrame({"step": range(1, len(losses) + 1), "loss": losses})
    write_csv(Path("plots/finetune") / f"{variant}.csv", curve)


if __name__ == "__main__":
    run(main)
