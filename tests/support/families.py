"""Small tokenizers and templates that join and part text as those of model families do."""

from __future__ import annotations

import string

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
# A system's words stand in the user's turn.
GEMMA_3 = (
    "{{ bos_token }}" + TURN + "{% if m.role == 'system' %}{% else %}{{ '<start_of_turn>' + "
    "('model' if m.role == 'assistant' else m.role) + '\n' }}{% if loop.index0 == 1 and "
    "messages[0].role == 'system' %}{{ messages[0].content + '\n\n' }}{% endif %}{{ m.content | "
    "trim + '<end_of_turn>\n' }}{% endif %}" + DONE + "{% if add_generation_prompt %}"
    "{{ '<start_of_turn>model\n' }}{% endif %}"
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
HEADERS = (
    "{{ bos_token }}" + TURN + "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + "
    "m.content | trim + '<|eot_id|>' }}" + DONE + "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# Roles in lines of their own, and only an answer ends by a token.
TULU = (
    "{{ bos_token }}" + TURN + "{{ '<|' + m.role + '|>\n' + m.content + (eos_token + '\n' if "
    "m.role == 'assistant' else '\n') }}" + DONE + "{% if add_generation_prompt %}"
    "{{ '<|assistant|>\n' }}{% endif %}"
)
PROMPTERS = (
    TURN + "{{ {'user': '<|prompter|>', 'assistant': '<|assistant|>', 'system': '<|system|>'}"
    "[m.role] + m.content + eos_token }}" + DONE + "{% if add_generation_prompt %}"
    "{{ '<|assistant|>' }}{% endif %}"
)
ROLES_BETWEEN = (
    TURN + "{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\n' "
    "}}" + DONE + "{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}"
    "{% endif %}"
)
# One that knows nothing of generation prompts, and begins answers with a space.
VICUNA = (
    TURN + "{{ ('USER: ' if m.role == 'user' else 'ASSISTANT: ') + m.content + (eos_token if "
    "m.role == 'assistant' else '\n') }}" + DONE
)


def core(kind: str, special: list[str]) -> Tokenizer:
    """One trained: `bytes` (GPT-2, Qwen), `metaspace` (Mistral) or `prepended` (Llama 2)."""
    options = {"special_tokens": ["<unk>", *special], "show_progress": False, "vocab_size": 420}
    # Digits are tokens of their own, as in most of these; letters of bytes are all there anyway.
    options["initial_alphabet"] = list(string.printable.strip())
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
    "gemma 3": (
        "metaspace",
        GEMMA_3,
        ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
        "<eos>",
    ),
    "phi": ("prepended", PHI, ["<|user|>", "<|assistant|>", "<|end|>", "</s>"], "</s>"),
    "gpt-oss": (
        "bytes",
        CHANNELS,
        ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"],
        "<|return|>",
    ),
    "llama 3": (
        "bytes",
        HEADERS,
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "<|eot_id|>",
    ),
    "olmo 2": ("bytes", TULU, ["<|endoftext|>"], "<|endoftext|>"),
    "neox": (
        "bytes",
        PROMPTERS,
        ["<|endoftext|>", "<|prompter|>", "<|assistant|>", "<|system|>"],
        "<|endoftext|>",
    ),
    "granite": (
        "bytes",
        ROLES_BETWEEN,
        ["<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"],
        "<|end_of_text|>",
    ),
    "lfm 2": ("bytes", "{{ bos_token }}" + CHATML, ["<|startoftext|>", *IM[:2]], "<|im_end|>"),
    "vicuna": ("prepended", VICUNA, ["<s>", "</s>"], "</s>"),
}


def of(name: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a family by its name."""
    return family(*FAMILIES[name])


def unspecial(tokenizer: PreTrainedTokenizerFast, token: str) -> None:
    """Add a token of its own that is not marked as special."""
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False)])
