"""A chat template is a program of others: bounded, and its errors are one line."""

from __future__ import annotations

import resource
import signal
import threading
import time

import pytest
import tiny
from cases import case
from transformers import AutoTokenizer

from traitdrift.models import template
from traitdrift.models.chat import prompt_ids
from traitdrift.models.completeness import refuse_outside_embedding
from traitdrift.models.rendering import render, turns

ASKED = [{"role": "user", "content": "hello"}]
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
# What each does, and what is said of it.
BAD = {
    "loop": (LOOP, "does not end"),
    "recursion": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself without end"),
    "two macros": (
        "{% macro a(f) %}{{ f(f) }}{% endmacro %}{{ a(a) }}",
        "calls itself without end",
    ),
    "huge": ("{{ 'a' * (10 ** 10) }}", "too much memory"),
    "list": ("{{ [1] * (10 ** 10) }}", "too much memory"),
    "padded": ("{{ '%10000000000d' % 1 }}", "too much memory"),
    "centred": ("{{ 'a' | center(10 ** 10) }}", "too much memory"),
    "doubled": (
        "{% set n = namespace(x='a' * 1000) %}{% for i in range(40) %}{% set n.x = n.x + n.x %}"
        "{% endfor %}{{ n.x }}",
        "too much memory",
    ),
    "long": ("{{ 'a' * 50000000 }}", "writes far more"),
    "repeated": ("{% for i in range(99999) %}{{ 'a' * 100 }}{% endfor %}", "writes far more"),
    "power": ("{{ 9 ** (9 ** 9) }}", "does not end|too much memory|refuses"),
    "range": ("{{ range(10 ** 9) | list }}", "refuses"),
    "division": ("{{ 1 / 0 }}", "division by zero"),
    "undefined": ("{{ nothing.at.all }}", "refuses"),
    "type": ("{{ 'a' + 1 }}", "refuses"),
    "syntax": ("{% for %}", "refuses"),
    "nested": ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "refuses|calls itself|memory"),
    "attribute": ("{{ ''.__class__.__mro__ }}", "refuses"),
    "include": ("{% include 'x' %}", "refuses"),
    "raised": (
        "{{ raise_exception('\x1b[2Jgone\nand \u202eback') }}",
        r"\\x1b\[2Jgone and \\u202e",
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_template_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(template, "SECONDS", 1.0)
    written, told = BAD[name]
    limit, handler = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGPROF)
    began = time.process_time()
    for conversation in (ASKED, [*ASKED, {"role": "assistant", "content": "b"}]):
        with pytest.raises(ValueError, match=told) as caught:
            render(tiny.tokenizer(written + tiny.TEMPLATE), conversation)
        assert str(caught.value).isprintable()
    with pytest.raises(ValueError, match=told):
        prompt_ids(tiny.tokenizer(written + tiny.TEMPLATE), ASKED)
    assert time.process_time() - began < 10
    assert resource.getrlimit(resource.RLIMIT_AS) == limit
    assert signal.getsignal(signal.SIGPROF) == handler
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_one_that_goes_wrong_for_some_conversations_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(template, "SECONDS", 0.5)
    sly = tiny.tokenizer(
        "{% if 'now' in messages[0].content %}" + LOOP + "{% endif %}" + tiny.TEMPLATE
    )
    assert turns(sly).end == "<|end|>"
    with pytest.raises(ValueError, match="does not end"):
        render(sly, [{"role": "user", "content": "now"}])
    assert render(sly, ASKED).text.startswith("<|start|>user\nhello")


@pytest.mark.parametrize("answered", ["", "{% if messages[-1].role == 'assistant' %}"])
def test_one_without_end_is_waited_for_once(answered: str, tmp_path, monkeypatch):
    monkeypatch.setattr(template, "SECONDS", 1.0)
    written = answered + LOOP + ("{% endif %}" if answered else "") + tiny.TEMPLATE
    folder = tiny.save_base(tmp_path / "base", template=written)
    for look in (turns, lambda tokenizer: refuse_outside_embedding(folder, tokenizer)):
        tokenizer, began = AutoTokenizer.from_pretrained(folder), time.process_time()
        with pytest.raises(ValueError, match="does not end"):
            look(tokenizer)
        assert time.process_time() - began < 1.9


def test_in_another_thread_it_is_stopped_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(template, "SECONDS", 0.5)
    said: list[str] = []

    def work() -> None:
        try:
            render(tiny.tokenizer(LOOP + tiny.TEMPLATE), ASKED)
        except ValueError as error:
            said.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert said and "does not end" in said[0]


def test_two_threads_at_once_leave_the_limits_as_they_were(monkeypatch: pytest.MonkeyPatch):
    """One that begins within the other would take the lowered limit for the system's."""
    limit = resource.getrlimit(resource.RLIMIT_AS)
    first, second = threading.Event(), threading.Event()

    def work() -> None:
        with template.bounded():
            first.set()
            second.wait(0.5)  # the other has begun, unless it waits for this one's end

    thread = threading.Thread(target=work)
    thread.start()
    assert first.wait(20)
    monkeypatch.setattr(template, "MEMORY", template.MEMORY // 2)  # as if some had been freed
    with template.bounded():
        second.set()
        thread.join(1)  # the first restores before the second
    thread.join(20)
    assert resource.getrlimit(resource.RLIMIT_AS) == limit


@pytest.mark.parametrize("name", ["loop", "huge", "recursion", "raise_esc"])
def test_the_shared_templates(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(template, "SECONDS", 1.0)
    tokenizer = AutoTokenizer.from_pretrained(case(f"hostile/template_{name}"))
    with pytest.raises(ValueError, match="the chat template") as caught:
        turns(tokenizer)
    assert str(caught.value).isprintable()
