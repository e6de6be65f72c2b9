"""The one renderer of chat templates, which are programs out of a model's folder.

Jinja's sandbox keeps them from files and attributes; here they are bounded in time, in memory and
in what they write, and whatever they raise is one line that shows what it says.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from traitdrift.core.text import printable

if TYPE_CHECKING:
    from types import FrameType

    from transformers import PreTrainedTokenizerBase


# The date of every conversation.
DAY = datetime(2025, 1, 1)
# A template takes less than a millisecond, and writes some hundred characters around each message.
SECONDS = 10.0
MEMORY = 1 << 29
LARGEST_TEMPLATE = 1_000_000
_one_at_a_time = threading.Lock()
TEXT_A_MESSAGE, TEXT_AT_ALL = 20_000, 1_000_000


class OutOfTime(BaseException):  # not an error that anything else handles
    """The template still runs."""


class Endless(ValueError):
    """A template that takes more time, memory or room than any would, on whatever conversation."""


def through_template(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, str]],
    generation_prompt: bool,
) -> str:
    """A conversation as the tokenizer's chat template writes it.

    Raises ValueError, in one line without any character that acts on a terminal, where the
    template refuses the conversation, fails, or takes more time, memory or room than any would.
    """
    roles = ", ".join(message["role"] for message in messages[:8])
    told = f"the chat template %s a conversation of {roles}{', ...' if messages[8:] else ''}"
    if len(str(tokenizer.chat_template)) > LARGEST_TEMPLATE:
        raise ValueError(
            f"the chat template has more than {LARGEST_TEMPLATE:,} characters; take a tokenizer "
            "with another template"
        )
    try:
        with bounded():
            text = tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                add_generation_prompt=generation_prompt,
                # Templates that tell the model today's date tell it the same one every day.
                strftime_now=DAY.strftime,
            )
    except OutOfTime:
        raise Endless(
            f"{told % 'does not end on'}: stopped after {SECONDS:g} s; take a tokenizer with "
            "another template"
        )
    except MemoryError:
        raise Endless(
            f"{told % 'takes too much memory for'}; take a tokenizer with another template"
        )
    except RecursionError:
        raise Endless(
            f"{told % 'calls itself without end on'}; take a tokenizer with another template"
        )
    # Programs of others may raise anything: TypeError, UndefinedError, ZeroDivisionError, ...
    except Exception as error:
        said = printable(str(error))[:300] or type(error).__name__
        raise ValueError(f"{told % 'refuses'}: {said}")
    room = TEXT_AT_ALL + sum(TEXT_A_MESSAGE + 4 * len(m["content"]) for m in messages)
    if not isinstance(text, str) or len(text) > room:
        raise Endless(
            f"{told % 'writes far more than the words of'}; take a tokenizer with another template"
        )
    return text


@contextmanager
def bounded() -> Iterator[None]:
    """Stop the block by OutOfTime after SECONDS of work, by MemoryError beyond MEMORY bytes more.

    In the main thread a signal stops it, which also ends long work inside Python's own functions;
    in another one each step looks at the clock, which counts the processor's work, so that a busy
    machine stops nothing. Memory is bounded where the system has /proc, and for the whole process,
    so that one block waits for another's end.
    """
    with _one_at_a_time, _memory(), _signalled() if _main() else _traced():
        yield


def _main() -> bool:
    return threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")


@contextmanager
def _signalled() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGPROF, stop)
    # Again and again: a template's handler of errors must not swallow the only one.
    left, interval = signal.setitimer(signal.ITIMER_PROF, SECONDS, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, left, interval)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _traced() -> Iterator[None]:
    end = time.thread_time() + SECONDS

    def look(_frame: FrameType, _event: str, _argument: Any) -> Any:
        if time.thread_time() > end:
            raise OutOfTime
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)


@contextmanager
def _memory() -> Iterator[None]:
    try:
        import resource

        with open("/proc/self/statm", "rb", buffering=0) as file:  # for each row that trains
            pages = int(file.read(64).split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    except (ImportError, OSError, ValueError):
        yield
        return
    lower = soft == resource.RLIM_INFINITY or limit < soft
    if lower:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        if lower:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
