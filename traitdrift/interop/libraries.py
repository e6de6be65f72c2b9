"""Trait vectors for other libraries of activation steering: steering-vectors, repeng.

Both number the decoder blocks from 0 and add to a block's output, as this project does: layer l
is l there. Both multiply by a strength of their own and know neither unit nor norm, so the vector
is written at full length (`Vectors.scaled`): a strength of 1 there adds what it was written with.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from traitdrift.core.writing import replacing
from traitdrift.vectors.file import Vectors

if TYPE_CHECKING:
    from repeng import ControlVector
    from steering_vectors import SteeringVector


def to_steering_vectors(vectors: Vectors, added: torch.Tensor) -> SteeringVector:
    """steering-vectors' own object: `added` `[hidden]`, float32, after the vectors' layer.

    `apply(model)` adds it at every token; `multiplier` scales it.
    """
    from steering_vectors import SteeringVector

    return SteeringVector({vectors.layer: added.float()}, layer_type="decoder_block")


def save_for_steering_vectors(path: Path, vectors: Vectors, added: torch.Tensor) -> None:
    """A safetensors file whose one tensor is named by its layer.

    steering-vectors has no file format (its objects are pickled); without trait-drift, this is
    `SteeringVector({int(layer): v for layer, v in load_file(path).items()})`.
    """
    from safetensors.torch import save_file

    with replacing(path) as scratch:
        save_file({str(vectors.layer): added.float().contiguous()}, scratch)


def to_repeng(vectors: Vectors, added: torch.Tensor, model_type: str) -> ControlVector:
    """repeng's own object: `added` `[hidden]`, float32, after the vectors' layer.

    `ControlModel(model, [layer])` and `set_control(vector, coeff)` add it at every token but
    padding. `model_type` is that of the model's config, such as `llama`.
    """
    from repeng import ControlVector

    return ControlVector(model_type, {vectors.layer: added.float().numpy()})


def save_for_repeng(path: Path, vectors: Vectors, added: torch.Tensor, model_type: str) -> None:
    """The GGUF file of a control vector as repeng's `ControlVector.import_gguf` reads it.

    Written without repeng, by the library that reads and writes GGUF for it.
    """
    from gguf import GGUFWriter

    kind = "controlvector"
    with replacing(path) as scratch:
        writer = GGUFWriter(scratch, kind)
        writer.add_string(f"{kind}.model_hint", model_type)
        writer.add_uint32(f"{kind}.layer_count", 1)
        writer.add_tensor(f"direction.{vectors.layer}", added.float().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
