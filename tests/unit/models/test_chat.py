from __future__ import annotations

import pytest
import tiny

from traitdrift.models.chat import last_message, turn_end
from traitdrift.models.encoding import encode, tokens_in
from traitdrift.models.rendering import render

ASKED = [{"role": "user", "content": "user"}, {"role": "assistant", "content": "assistant"}]


def test_spans_are_exact_even_where_a_content_repeats_the_template():
    """The words "user" and "assistant" stand in the template too; a search would find those."""
    rendered = render(tiny.tokenizer(), ASKED)
    assert rendered.text == "<|start|>user\nuser<|end|>\n<|start|>assistant\nassistant<|end|>\n"
    assert [rendered.text[slice(*span)] for span in rendered.contents] == ["user", "assistant"]
    assert rendered.contents[0][0] == len("<|start|>user\n")


def test_tokens_of_a_span_decode_to_the_content():
    tokenizer = tiny.tokenizer()
    rendered = render(tokenizer, [{"role": "user", "content": "naïve café — 日本"}], True)
    ids, offsets = encode(tokenizer, rendered)
    inside = tokens_in(offsets, rendered.contents[0])
    assert tokenizer.decode([ids[i] for i in inside]) == "naïve café — 日本"


@pytest.mark.parametrize("answer", ["assistant", "<|end", "naïve — 日本", "a\n\nb: user\nq"])
def test_tokens_of_an_answer_are_the_answer_and_nothing_of_the_template(answer: str):
    """Even where the question says the same, or the answer looks like the template."""
    tokenizer = tiny.tokenizer()
    asked = [{"role": "user", "content": answer}, {"role": "assistant", "content": answer}]
    ids, inside = last_message(tokenizer, asked)
    assert ids == encode(tokenizer, render(tokenizer, asked))[0]
    assert tokenizer.decode([ids[i] for i in inside]) == answer
    assert inside == list(range(inside[0], inside[-1] + 1))
    assert tokenizer.decode(ids[: inside[0]]).endswith("<|start|>assistant\n")
    assert tokenizer.decode(ids[inside[-1] + 1 :]) == "<|end|>\n"


def test_contents_are_stripped_alike_under_templates_that_strip_and_that_do_not():
    stripping = tiny.TEMPLATE.replace("m['content']", "m['content'] | trim")
    messages = [{"role": "user", "content": "  hello \n"}]
    texts = {render(tiny.tokenizer(t), messages).text for t in (tiny.TEMPLATE, stripping)}
    assert texts == {"<|start|>user\nhello<|end|>\n"}


@pytest.mark.parametrize(
    "template",
    [
        tiny.TEMPLATE.replace("m['content']", "m['content'] | upper"),
        tiny.TEMPLATE.replace("m['content']", "m['content'][:2]"),
        tiny.TEMPLATE.replace("{{ m['content'] }}", "{{ m['content'] | length }}"),
    ],
)
def test_a_template_that_changes_contents_is_refused(template: str):
    with pytest.raises(ValueError, match="chat template"):
        render(tiny.tokenizer(template), [{"role": "user", "content": "hello"}])


def test_turn_end_takes_in_the_end_token_and_nothing_more():
    text = "<|start|>assistant\nyes<|end|>\n<|start|>assistant\n<|end|>\n"
    end = text.index("yes") + 3
    assert text[end : turn_end(text, end, ["<|end|>"])] == "<|end|>"
    with pytest.raises(ValueError, match="ends an answer"):
        turn_end("yes and more<|end|>", 3, ["<|end|>"])


def test_a_template_that_tells_the_date_tells_the_same_one_every_day():
    dated = "{{ strftime_now('%d %B %Y') }}\n" + tiny.TEMPLATE
    rendered = render(tiny.tokenizer(dated), [{"role": "user", "content": "hello"}])
    assert rendered.text.startswith("01 January 2025\n")


def test_a_conversation_that_the_template_refuses_is_a_wrong_input():
    strict = "{{ raise_exception('no system role') }}"
    with pytest.raises(ValueError, match="refuses a conversation of system, user: no system role"):
        render(tiny.tokenizer(strict), [{"role": r, "content": "x"} for r in ("system", "user")])
