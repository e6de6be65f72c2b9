"""The targets of a recipe, each of which must be a name of the base's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from traitdrift.models.adapted import targeted

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def linear_layers(model: PreTrainedModel) -> list[str]:
    """The names of a network's linear layers, by the last part of them."""
    kinds = ("Linear", "Linear4bit", "Linear8bitLt", "Conv1D")
    names = [name for name, module in model.named_modules() if type(module).__name__ in kinds]
    return sorted({name.rpartition(".")[2] for name in names})


def refuse_unmatched(adapted: PeftModel, targets: Iterable[str], linear: Iterable[str]) -> None:
    """Raise ValueError for targets of a recipe that match nothing of the base.

    `linear` are its `linear_layers`. Names of experts that the base holds in one parameter have
    become that parameter's, by peft.
    """
    config: Any = adapted.peft_config["default"]
    names, targets = targeted(adapted), list(targets)
    # Unsloth makes a pattern of the list, which stands for each of them.
    stayed = targets if isinstance(config.target_modules, str) else config.target_modules or ()
    unmatched = [
        target
        for target in targets
        if target in stayed and not any(f".{name}".endswith(f".{target}") for name in names)
    ]
    if unmatched or not names:
        raise ValueError(unmatched_line(unmatched or targets, linear))


def unmatched_line(targets: Iterable[str], linear: Iterable[str]) -> str:
    return (
        f"the recipe's lora.targets: {', '.join(targets)}: nothing of the base has that name; its "
        f"linear layers are {', '.join(linear)}"
    )
