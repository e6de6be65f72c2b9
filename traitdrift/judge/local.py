"""A judge in this process: any Hugging Face model with a chat template.

Its whole next-token distribution is read. Where every number from 0 to 100 is one token of its
vocabulary, single tokens are summed as in the paper. Many tokenizers (SmolLM2, Qwen) split
numbers digit by digit, and one token then tells 0 to 9 only: for those the probability that the
judge says exactly "0", ..., exactly "100" is worked out over the tree of digit prefixes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from traitdrift.core.first_calls import settle_elementwise
from traitdrift.core.wide_products import widen_products
from traitdrift.inference.batching import by_length, padded, token_budget
from traitdrift.judge.protocol import Judgement, as_number, as_word, expected_score, read_tokens
from traitdrift.judge.settings import LocalJudgeSettings
from traitdrift.models import quantisation
from traitdrift.models.encoding import encode, encode_all
from traitdrift.models.loading import load_tokenizer, pretrained
from traitdrift.models.rendering import Rendered, render
from traitdrift.models.window import window
from traitdrift.sources.base_models import located

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


NUMBERS = tuple(range(101))
Tokens = tuple[int, ...]
Read = tuple[int, torch.Tensor, Judgement]  # which prompt, what it was read from, the judgement


class LocalJudge:
    """Loads its tokenizer at once, and the model when there is something to ask."""

    def __init__(self, settings: LocalJudgeSettings):
        self.settings = settings
        self.folder, origin = located(settings.model)
        self.identity = {"backend": "local", **origin, "dtype": settings.model.dtype}
        self.identity["digest"] = quantisation.digest(origin["digest"], settings.model.quantise)
        self.tokenizer = load_tokenizer(self.folder)
        self.rendered: dict[str, Rendered] = {}  # by their text: where the answer stands in it

    def render(self, prompt: str) -> str:
        """The prompt as a user's message, by the chat template."""
        message = {"role": "user", "content": prompt}
        rendered = render(self.tokenizer, [message], generation_prompt=True)
        self.rendered[rendered.text] = rendered
        return rendered.text

    def ask(self, rendered: Sequence[str]) -> Iterator[tuple[int, Judgement]]:
        """Judge rendered texts, each named by its index, longest first.

        Raises ValueError where a text is longer than the model's context.
        """
        texts = [self.rendered.get(text) or Rendered(text, ()) for text in rendered]
        prompts = [ids for ids, _ in encode_all(self.tokenizer, texts)]
        paths = number_paths(self.tokenizer, rendered[0])
        settle_elementwise()
        widen_products()
        wished = self.settings.model
        model = pretrained(str(self.folder), wished.dtype, wished.quantise).eval()
        longest = max(map(len, prompts)) + max(map(len, paths))
        room = window(model.config)
        if room and longest > room:
            raise ValueError(
                f"{self.settings.model.id}: a judge prompt takes {longest} tokens and the model "
                f"reads {room}; choose another judge or lower respond_questions.max_tokens"
            )
        read = self._single_tokens if all(len(path) == 1 for path in paths) else self._digit_tree
        for index, chances, judgement in read(model, prompts, paths):
            if not chances.isfinite().all():
                raise ValueError(
                    f"the judge's logits are NaN or infinite in {wished.dtype} behind "
                    f"{rendered[index][-60:]!r}; choose another dtype for judge.model (bfloat16 or "
                    "float32), or another judge"
                )
            if judgement.verdict == "unscored":
                said = self.tokenizer.decode([int(chances.argmax())])
                judgement = replace(judgement, said=cast("str", said))  # of one list of ids
            yield index, judgement

    def _single_tokens(
        self, model: PreTrainedModel, prompts: Sequence[list[int]], paths: Sequence[Tokens]
    ) -> Iterator[Read]:
        telling = [
            (token, text)
            for token, text in enumerate(vocabulary(self.tokenizer))
            if as_number(text) is not None or as_word(text)
        ]
        tokens = [token for token, _ in telling]
        for batch in by_length([len(ids) for ids in prompts], token_budget()):
            rows = next_tokens(model, [prompts[i] for i in batch], self.tokenizer.pad_token_id)
            for index, row in zip(batch, rows, strict=True):
                texts = (text for _, text in telling)
                yield index, row, read_tokens(zip(texts, row[tokens].tolist(), strict=True))

    def _digit_tree(
        self, model: PreTrainedModel, prompts: Sequence[list[int]], paths: Sequence[Tokens]
    ) -> Iterator[Read]:
        digits = beginning_with_a_digit(self.tokenizer)
        words = [
            (i, word) for i, t in enumerate(vocabulary(self.tokenizer)) if (word := as_word(t))
        ]
        for index in sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i)):
            # One prompt's branches are a batch, far larger than its budget elsewhere.
            first, numbers = path_probabilities(
                model, prompts[index], paths, digits, token_budget(32768)
            )
            word_mass: dict[str, float] = {}
            for (_, word), p in zip(words, first[[i for i, _ in words]].tolist(), strict=True):
                word_mass[word] = word_mass.get(word, 0.0) + p
            judgement = expected_score(zip(NUMBERS, numbers.tolist(), strict=True), word_mass)
            yield index, torch.cat([first, numbers]), judgement


def vocabulary(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The text of every token by its id."""
    tokens = [[token] for token in range(len(tokenizer))]
    return tokenizer.batch_decode(tokens, clean_up_tokenization_spaces=False)


def number_paths(tokenizer: PreTrainedTokenizerBase, rendered: str) -> list[Tokens]:
    """Token ids of "0", ..., "100" as they follow a rendered prompt.

    Raises ValueError where the tokenizer joins the end of the prompt and the number, or does not
    know digits.
    """
    prompt = encode(tokenizer, Rendered(rendered, ()))[0]
    paths = []
    for number in NUMBERS:
        ids = encode(tokenizer, Rendered(f"{rendered}{number}", ()))[0]
        if ids[: len(prompt)] != prompt:
            raise ValueError(
                "the judge's tokenizer joins the end of its chat template with a number; choose "
                "another judge"
            )
        paths.append(tuple(ids[len(prompt) :]))
    if len({*paths, ()}) <= len(NUMBERS):
        raise ValueError("the judge's tokenizer cannot tell numbers apart; choose another judge")
    return paths


def beginning_with_a_digit(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of the tokens that would carry a number on: their text begins with a digit."""
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return [token for token, piece in enumerate(pieces) if piece and piece[0] in "0123456789"]


@torch.inference_mode()
def next_tokens(model: PreTrainedModel, prompts: Sequence[list[int]], pad: int) -> torch.Tensor:
    """Probabilities of the next token, `[prompt, vocabulary]`, float32 on the CPU."""
    ids, mask = padded(prompts, pad, left=True)
    # generate() counts positions from behind the padding, whatever the architecture.
    out = model.generate(  # type: ignore[operator]  # of transformers' GenerationMixin
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        do_sample=False,
        max_new_tokens=1,
        pad_token_id=pad,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return out.logits[0].float().softmax(-1).cpu()


def repeatable(cache: Any) -> bool:
    """Whether each layer of a cache is one of keys and values, which can be repeated for a batch.

    Not so the states of recurrent layers and convolutions: transformers repeats no part of them,
    or of a layer that has both the keys and values alone.
    """
    kinds = (DynamicLayer, DynamicSlidingWindowLayer)
    return all(type(layer) in kinds for layer in getattr(cache, "layers", [None]))


@torch.inference_mode()
def path_probabilities(
    model: PreTrainedModel,
    prompt: list[int],
    paths: Sequence[Tokens],
    digits: list[int],
    budget: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the next token `[vocabulary]`, and of each path `[path]` with no digit after it.

    P(t1 .. tk, then no digit) = P(t1) P(t2 | t1) .. P(tk | t1 .. tk-1) (1 - P(digit | t1 .. tk)),
    exactly: different paths exclude each other, so their sum is at most 1. The prompt is
    forwarded once; the longest paths, of which all others are the beginnings, go on from its
    cache in batches of at most `budget` tokens. Where the cache is not one of attention alone
    they are forwarded whole, behind the prompt.
    """
    read = model(input_ids=torch.tensor([prompt], device=model.device), use_cache=True)
    kept = getattr(read, "past_key_values", None)
    first = read.logits[0, -1].float().softmax(-1)
    begun = {path[:length] for path in paths for length in range(1, len(path))}
    branches = [path for path in paths if path not in begun]
    width = max(map(len, branches))
    after: dict[Tokens, torch.Tensor] = {}
    step = max(1, budget // (len(prompt) + width))
    for start in range(0, len(branches), step):
        chunk = branches[start : start + step]
        ids, _ = padded(chunk, pad=0)  # behind the tokens that are read, which cannot see it
        ids = ids.to(model.device)
        if repeatable(kept):
            cache: Any = copy.deepcopy(kept)
            cache.batch_repeat_interleave(len(chunk))
            logits = model(input_ids=ids, past_key_values=cache).logits
        else:
            before = torch.tensor([prompt], device=model.device).expand(len(chunk), -1)
            whole = torch.cat([before, ids], dim=1)
            # Of the vocabulary at every token of the prompt nobody has the memory.
            able: Any = model._supports_logits_to_keep
            last = {"logits_to_keep": ids.shape[1]} if able() else {}
            logits = model(input_ids=whole, use_cache=False, **last).logits[:, -ids.shape[1] :]
        for row, branch in zip(logits.float().softmax(-1), chunk, strict=True):
            for depth in range(len(branch)):
                after[branch[: depth + 1]] = row[depth]
    chances = []
    for path in paths:
        chance = first[path[0]]
        for depth in range(1, len(path)):
            chance = chance * after[path[:depth]][path[depth]]
        chances.append(chance * (1 - after[path][digits].sum()).clamp_min(0))
    return first.cpu(), torch.stack(chances).cpu()
