"""Tokenizers that have no token for a text, and ones whose files are damaged: one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from traitdrift.models.encoding import encode_text
from traitdrift.models.from_files import tokenizer_of

WITHOUT_UNKNOWN = [
    models.Unigram([("a", 0.0)], None),
    models.WordLevel({"a": 0}, "<unk>"),
    models.WordPiece({"a": 0}, unk_token="<unk>"),
]


@pytest.mark.parametrize("model", WITHOUT_UNKNOWN, ids=lambda model: type(model).__name__)
def test_a_text_that_the_tokenizer_has_no_token_for(model):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(model), name_or_path="here", chat_template=tiny.TEMPLATE
    )
    with pytest.raises(ValueError, match=r"^here: the tokenizer cannot split a text \(.*\); take"):
        encode_text(tokenizer, "b")


def spoilt(folder: Path, charsmap: str) -> Path:
    tiny.tokenizer().save_pretrained(folder)
    file = folder / "tokenizer.json"
    read = json.loads(file.read_text())
    read["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    file.write_text(json.dumps(read))
    return folder


@pytest.mark.parametrize("charsmap", ["AAAA", "//////////8="])
def test_a_damaged_normaliser_is_one_line(tmp_path: Path, charsmap: str):
    with pytest.raises(ValueError, match="its tokenizer's files cannot be used"):
        tokenizer_of(spoilt(tmp_path, charsmap))


def test_a_normaliser_whose_damage_is_met_at_a_text_is_one_line(tmp_path: Path):
    tokenizer = tokenizer_of(spoilt(tmp_path, "CAAAAAAAAAAAAAAAAAA="))
    with pytest.raises(ValueError, match="cannot split a text"):
        encode_text(tokenizer, "hello")
