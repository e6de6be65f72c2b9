"""Whether a model's folder is whole, by its headers and config alone: no weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitdrift.core.outside import json_object, named
from traitdrift.core.safetensors_header import read_header
from traitdrift.models.encoding import encode
from traitdrift.models.from_files import COMPUTED, config_of, network_of, outline
from traitdrift.models.quantisation import of_config
from traitdrift.models.rendering import Message, render
from traitdrift.models.template import Endless

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a Hugging Face model folder, in transformers' own preference.

    Raises ValueError for a missing file and one outside the folder.
    """
    if (folder / SINGLE).is_symlink() or (folder / SINGLE).exists():
        names = {SINGLE}
    elif (folder / INDEX).exists():
        listed = json_object(named(folder, INDEX)).get("weight_map")
        if not isinstance(listed, dict) or not all(isinstance(v, str) for v in listed.values()):
            raise ValueError(f"{folder / INDEX}: no weight_map of files in it; fetch it again")
        names = set(listed.values())
    else:
        raise ValueError(
            f"{folder / SINGLE}: missing; the model must be a folder with safetensors weights"
        )
    return [named(folder, name) for name in sorted(names)]


def refuse_incomplete(folder: Path) -> None:
    """Raise ValueError unless the weights of a folder are those of its config, each one.

    Weights that lie there quantised are looked at when they are loaded.
    """
    config: Any = config_of(folder)
    refuse_endless(folder, config)
    if of_config(config) == "none":
        _refuse_whole_numbers(folder)
        network_of(folder, device_map={"": "meta"})


def _refuse_whole_numbers(folder: Path) -> None:
    """Raise ValueError for weights of whole numbers, which transformers would take for weights."""
    for file in weight_files(folder):
        for name, entry in read_header(file).tensors.items():
            if not entry.dtype.startswith(("F", "BF")) and not COMPUTED.search(name):
                raise ValueError(
                    f"{file}: {name[:120]} holds {entry.dtype}, and config.json names no "
                    "quantization_config that says what for; fetch the model again"
                )


def refuse_endless(folder: Path, config: Any) -> None:
    """Raise ValueError for a config of more layers than there are tensors: none has no weight."""
    tensors = sum(len(read_header(file).tensors) for file in weight_files(folder))
    layers = getattr(config.get_text_config(), "num_hidden_layers", None)
    if not isinstance(layers, int) or not 0 < layers <= tensors:
        raise ValueError(
            f"{folder}: its config has {str(layers)[:20]} layers, its weights {tensors} tensors; "
            "mend num_hidden_layers in config.json, or fetch the model again"
        )


def refuse_outside_embedding(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ValueError where the model's embedding has no row for a token that may be met.

    Those are the words of its vocabulary, the tokens that begin, end and pad a text, those of the
    chat template, and the ends of a turn. Other special tokens (of images, in a model of text)
    come from no text.
    """
    network: Any = outline(config_of(folder))
    rows = network.get_input_embeddings().weight.shape[0]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    special.update(tokenizer.all_special_ids)
    met: list[tuple[Any, str]] = [
        (i, "a word of its vocabulary") for i in tokenizer.get_vocab().values() if i not in special
    ]
    met += [(i, "a token of its chat template") for i in _of_template(tokenizer)]
    met += [
        (getattr(tokenizer, f"{name}_id"), f"its {name}")
        for name in ("bos_token", "eos_token", "pad_token")
    ]
    for file in ("config.json", "generation_config.json"):
        found = json_object(folder / file) if (folder / file).exists() else {}
        ends = found.get("eos_token_id")
        met += [
            (i, f"eos_token_id of {file}") for i in (ends if isinstance(ends, list) else [ends])
        ]
    for i, what in met:
        if i is not None and (type(i) is not int or not 0 <= i < rows):
            text = tokenizer.convert_ids_to_tokens(i) if type(i) is int and 0 <= i < 2**31 else None
            named = f" {text!r:.40}" if text else ""
            raise ValueError(
                f"{folder}: {what}{named} has id {str(i)[:20]}, but the model's embedding has "
                f"{rows} rows; take another token, or resize the embedding and train it"
            )


def _of_template(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    try:
        asked: Message = {"role": "user", "content": "a"}
        answered = render(tokenizer, [asked, {"role": "assistant", "content": "a"}])
        prompt = render(tokenizer, [asked], generation_prompt=True)
        return [*encode(tokenizer, answered)[0], *encode(tokenizer, prompt)[0]]
    except Endless:
        raise
    except ValueError:
        return []  # it is refused where a conversation is rendered
