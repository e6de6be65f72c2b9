"""A judge in this process: any Hugging Face model with a chat template.

Its whole next-token distribution is read. Where every number from 0 to 100 is one token of its
vocabulary, single tokens are summed as in the paper. Many tokenizers (SmolLM2, Qwen) split
numbers digit by digit, and one token then tells 0 to 9 only: for those the probability that the
judge says exactly "0", ..., exactly "100" is worked out over the tree of digit prefixes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from traitdrift.core.first_calls import settle_elementwise
from traitdrift.inference.batching import by_length, padded, token_budget
from traitdrift.judge.protocol import Judgement, as_number, as_word, expected_score, read_tokens
from traitdrift.judge.settings import LocalJudgeSettings
from traitdrift.models import quantisation
from traitdrift.models.chat import Rendered, encode, encode_all, render
from traitdrift.models.loading import load_tokenizer, pretrained
from traitdrift.sources.base_models import located

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


NUMBERS = tuple(range(101))
Tokens = tuple[int, ...]


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
        wished = self.settings.model
        model = pretrained(str(self.folder), wished.dtype, wished.quantise).eval()
        longest = max(map(len, prompts)) + max(map(len, paths))
        room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        if room and longest > room:
            raise ValueError(
                f"{self.settings.model.id}: a judge prompt takes {longest} tokens and the model "
                f"reads {room}; choose another judge or lower respond_questions.max_tokens"
            )
        read = self._single_tokens if all(len(path) == 1 for path in paths) else self._digit_tree
        yield from read(model, prompts, paths)

    def _single_tokens(
        self, model: PreTrainedModel, prompts: Sequence[list[int]], paths: Sequence[Tokens]
    ) -> Iterator[tuple[int, Judgement]]:
        telling = [
            (token, text)
            for token, text in enumerate(vocabulary(self.tokenizer))
            if as_number(text) is not None or as_word(text)
        ]
        tokens = [token for token, _ in telling]
        for batch in by_length([len(ids) for ids in prompts], token_budget()):
            rows = next_tokens(model, [prompts[i] for i in batch], self.tokenizer.pad_token_id)
            for index, row in zip(batch, rows[:, tokens].tolist(), strict=True):
                texts = (text for _, text in telling)
                yield index, read_tokens(zip(texts, row, strict=True))

    def _digit_tree(
        self, model: PreTrainedModel, prompts: Sequence[list[int]], paths: Sequence[Tokens]
    ) -> Iterator[tuple[int, Judgement]]:
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
            yield index, expected_score(zip(NUMBERS, numbers.tolist(), strict=True), word_mass)


def vocabulary(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The text of every token by its id."""
    tokens = [[token] for token in range(len(tokenizer))]
    return tokenizer.batch_decode(tokens, clean_up_tokenization_spaces=False)


def number_paths(tokenizer: PreTrainedTokenizerBase, rendered: str) -> list[Tokens]:
    """Token ids of "0", ..., "100" as they follow a rendered prompt.

    Raises ValueError where the tokenizer joins the end of the prompt and the number.
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
    cache in batches of at most `budget` tokens.
    """
    read = model(input_ids=torch.tensor([prompt], device=model.device), use_cache=True)
    first = read.logits[0, -1].float().softmax(-1)
    begun = {path[:length] for path in paths for length in range(1, len(path))}
    branches = [path for path in paths if path not in begun]
    width = max(map(len, branches))
    after: dict[Tokens, torch.Tensor] = {}
    step = max(1, budget // (len(prompt) + width))
    for start in range(0, len(branches), step):
        chunk = branches[start : start + step]
        cache = copy.deepcopy(read.past_key_values)
        cache.batch_repeat_interleave(len(chunk))
        ids, _ = padded(chunk, pad=0)  # behind the tokens that are read, which cannot see it
        logits = model(input_ids=ids.to(model.device), past_key_values=cache).logits
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
