"""Memory and disk that a stage needs, in bytes, by formulas that count what must be held.

They are upper bounds within reason for dense decoders. Attention is taken to keep no matrix of
token by token (as in FlashAttention, arXiv 2205.14135).
"""

from __future__ import annotations

from dataclasses import dataclass

from traitdrift.planning.architecture import Architecture
from traitdrift.training.settings import Recipe

# The interpreter with torch, transformers and peft as it stands in RAM before a model is loaded
# (0.5 to 0.7 GB measured); on a GPU, the CUDA context and the libraries' workspaces.
RUNTIME = 700_000_000
FLOAT32 = 4
# Bytes of optimiser state a trained parameter: two moments in float32 (Adam), in one byte each
# (8-bit optimisers, arXiv 2110.02861), one (momentum), rows and columns only (Adafactor).
STATES = {"8bit": 2, "adafactor": 0, "sgd": 0, "lion": 4, "rmsprop": 4}
ADAM = 8
# The C library's allocator keeps rooms of many sizes that no later tensor fits into: of what comes
# and goes, a quarter more (measured: 0 to 40 % of a fine-tune's activations).
PIECES = 0.25
# And what it holds back from batches of many widths, where a model runs (a capture of the small
# model took 0.7 GB more than its tensors).
HELD_BACK = 700_000_000
COPIES = 8  # of a position's activations in float32 while vectors are made of them


@dataclass(frozen=True)
class Needs:
    """Bytes of one stage's process: on the device all but `kept`, which stays in RAM, and `disk`.

    `optimizer` holds the gradients too.
    """

    weights: int = 0
    adapter: int = 0
    optimizer: int = 0
    activations: int = 0
    logits: int = 0
    cache: int = 0
    kept: int = 0
    disk: int = 0

    @property
    def device(self) -> int:
        """What must fit where the model is; nothing for a stage without one."""
        held = self.weights + self.adapter + self.optimizer
        held += self.activations + self.logits + self.cache
        return held + RUNTIME if held else 0

    @property
    def ram(self) -> int:
        """What must fit into RAM where there is no GPU."""
        pieces = int(PIECES * (self.activations + self.logits)) + (self.device > 0) * HELD_BACK
        return max(self.device, RUNTIME if self.kept else 0) + pieces + self.kept


def training(model: Architecture, recipe: Recipe, longest: int) -> Needs:
    """A LoRA fine-tune whose longest row has `longest` tokens.

    Adapter, gradients and optimiser are float32, with a copy of the adapter in the base's dtype for
    autocast. For its backward pass a block keeps, a token: what each linear layer makes, a copy of
    the input of each adapted one, the activation function's output and the product with it, and the
    inputs of two norms in float32. With gradient checkpointing (arXiv 1604.06174) the inputs of
    blocks alone are kept, and one block's rest at a time is made again. Logits: as they come, in
    float32, their log-softmax and its gradient. On disk are the adapter and those that the recipe
    keeps on the way.
    """
    tokens = recipe.batch_size * longest
    trained = model.lora_parameters(recipe.lora)
    made = sum(out for _, out in model.linear.values()) + 2 * model.widest
    adapted = sum(model.linear[name][0] for name in recipe.lora.targets if name in model.linear)
    block = tokens * ((made + adapted) * model.width + 2 * model.hidden * FLOAT32)
    blocks = model.layers * block
    if recipe.gradient_checkpointing:
        blocks = block + model.layers * tokens * model.hidden * model.width
    state = next((size for name, size in STATES.items() if name in recipe.optimizer), ADAM)
    return Needs(
        weights=model.weights,
        adapter=trained * (FLOAT32 + (model.width if model.width < FLOAT32 else 0)),
        optimizer=trained * (FLOAT32 + state),
        activations=blocks + unpacked(model),
        logits=tokens * model.vocabulary * (model.width + 3 * FLOAT32),
        disk=trained * FLOAT32 * (1 + (recipe.checkpoints or 0)),
    )


def capturing(
    model: Architecture, adapter: int, tokens: int, rows: int, numbers: int, files: int
) -> Needs:
    """Forward passes of `tokens` tokens each, whose streams are read after every block.

    `numbers` are the bytes that all positions of a row keep of a layer's width of 1; `rows` are in
    one file, of which there are `files`. They are in RAM twice while they are written.
    """
    streams = rows * model.layers * model.hidden * numbers
    reading = 2 * tokens * model.hidden * FLOAT32
    return Needs(
        weights=model.weights,
        adapter=adapter * model.width,
        activations=forwarding(model, tokens) + reading,
        kept=2 * streams,
        disk=files * streams,
    )


def generating(
    model: Architecture, adapter: int, budget: int, requests: int, prompt: int, answer: int
) -> Needs:
    """Answers of `answer` tokens to `requests` prompts of `prompt` tokens, by a token budget.

    The cache is full at a batch's end; activations are widest while prompts are read. While a token
    is drawn, a row's logits are there in the base's dtype, in float32 five times, and as shares in
    whole numbers of 64 bits twice.
    """
    rows = min(requests, max(1, budget // (prompt + answer)))
    return Needs(
        weights=model.weights,
        adapter=adapter * model.width,
        activations=forwarding(model, rows * prompt),
        logits=rows * model.vocabulary * (model.width + 5 * FLOAT32 + 2 * 8),
        cache=rows * (prompt + answer) * model.layers * model.kv * model.width,
    )


def forwarding(model: Architecture, tokens: int) -> int:
    """What a forward pass without gradients holds at its widest, within a block's MLP.

    A token's residual and normed stream, twice in float32, and of the widest layer: gate, up, their
    product, and what an adapter adds to each.
    """
    wide = 4 * model.hidden + 6 * model.widest
    return tokens * (wide * model.width + 2 * model.hidden * FLOAT32) + unpacked(model)


def unpacked(model: Architecture) -> int:
    """The largest matrix of a quantised base, which is unpacked while it is multiplied by."""
    if not model.quantised:
        return 0
    return max(into * out for into, out in model.linear.values()) * model.width


def extracting(model: Architecture, prompts: int, numbers: int, vectors: int) -> Needs:
    """Trait vectors: a trait's activations, and one position's in float32 as methods copy it.

    `numbers` as in `capturing`; `vectors` are those of a layer.
    """
    streams = prompts * model.layers * model.hidden
    return Needs(
        kept=streams * (numbers + COPIES * FLOAT32),
        disk=vectors * model.layers * model.hidden * FLOAT32,
    )
