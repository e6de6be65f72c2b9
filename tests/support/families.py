"""Small tokenizers and templates that join and part text as those of model families do."""

from __future__ import annotations

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SPOKEN = [
    "Hello there, how are you? I am fine. Yes, no, sure: here is the answer about rain and snow.",
    "import os\nprint('x')\n\nThe sky is blue. What colour is it? Red. Blue. Green.",
    "You are a helpful assistant. user system model think final channel",
] * 30

TURN = "{% for m in messages %}"
DONE = "{% endfor %}"
CHATML = (
    TURN + "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}" + DONE + "{% if "
    "add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The space before an answer is the answer's, and joined with its first word.
MISTRAL = (
    "{{ bos_token }}" + TURN + "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}" + DONE
)
# An empty block of thought before the last answer, which the generation prompt lacks.
THINKING = (
    TURN + "{% if m.role == 'assistant' and loop.last %}"
    "{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' + m.content + '<|im_end|>\n' }}{% else %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}"
    + DONE
    + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The generation prompt opens a thought that no given answer has.
REASONING = CHATML.replace("assistant\n' }}", "assistant\n<think>\n' }}")
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not "
    "supported') }}{% endif %}" + TURN + "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' "
    "else m.role) + '\n' + m.content | trim + '<end_of_turn>\n' }}" + DONE + "{% if "
    "add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI = (
    TURN + "{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}" + DONE + "{% if "
    "add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
CHANNELS = (
    TURN + "{{ '<|start|>' + m.role + ('<|channel|>final' if m.role == 'assistant' else '') + "
    "'<|message|>' + m.content + ('<|return|>' if loop.last and m.role == 'assistant' else "
    "'<|end|>') }}" + DONE + "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
# One that knows nothing of generation prompts, and begins answers with a space.
VICUNA = (
    TURN + "{{ ('USER: ' if m.role == 'user' else 'ASSISTANT: ') + m.content + (eos_token if "
    "m.role == 'assistant' else '\n') }}" + DONE
)


def core(kind: str, special: list[str]) -> Tokenizer:
    """One trained: `bytes` (GPT-2, Qwen), `metaspace` (Mistral) or `prepended` (Llama 2)."""
    options = {"special_tokens": ["<unk>", *special], "show_progress": False, "vocab_size": 420}
    if kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        options |= {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
    elif kind == "metaspace":
        made = Tokenizer(models.BPE(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        made.decoder = decoders.Metaspace(prepend_scheme="first")
    else:
        made = Tokenizer(models.BPE(unk_token="<unk>"))
        made.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
        options |= {"max_token_length": 12}
    made.train_from_iterator(SPOKEN, trainers.BpeTrainer(**options))
    return made


def family(kind: str, template: str, special: list[str], eos: str) -> PreTrainedTokenizerFast:
    """A fast tokenizer with a chat template; control tokens are all special."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core(kind, special), eos_token=eos, pad_token=eos, unk_token="<unk>"
    )
    if "bos_token" in template:
        fast.bos_token = special[0]
    fast.chat_template = template
    return fast


IM = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
FAMILIES = {
    "chatml": ("bytes", CHATML, IM, "<|im_end|>"),
    "chatml of pieces": ("metaspace", CHATML, IM, "<|im_end|>"),
    "mistral": ("metaspace", MISTRAL, ["<s>", "</s>"], "</s>"),
    "mistral, tokens": ("metaspace", MISTRAL, ["<s>", "</s>", "[INST]", "[/INST]"], "</s>"),
    "llama 2": ("prepended", MISTRAL, ["<s>", "</s>"], "</s>"),
    "mistral of bytes": ("bytes", MISTRAL, ["<s>", "</s>"], "</s>"),
    "qwen 3": ("bytes", THINKING, IM, "<|im_end|>"),
    "gemma": ("metaspace", GEMMA, ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], "<eos>"),
    "phi": ("prepended", PHI, ["<|user|>", "<|assistant|>", "<|end|>", "</s>"], "</s>"),
    "gpt-oss": (
        "bytes",
        CHANNELS,
        ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"],
        "<|return|>",
    ),
    "vicuna": ("prepended", VICUNA, ["<s>", "</s>"], "</s>"),
}


def of(name: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a family by its name."""
    return family(*FAMILIES[name])


def unspecial(tokenizer: PreTrainedTokenizerFast, token: str) -> None:
    """Add a token of its own that is not marked as special."""
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False)])
