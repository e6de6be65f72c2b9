"""Text with slots: few hand-written entries that give many rows.

A slot such as ``<<table>>`` stands for one of several words of its entry; ``<<table|a>>`` shows
the word in another form. Entries stand in YAML files, are checked as they are read, and rows are
drawn from them as evenly as the number of their combinations allows.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from traitdrift.core.yaml_text import read_yaml

__all__ = ["FORMS", "GAP", "SLOT", "Entry", "Text", "article", "fill", "quotas", "read_entries"]

# ``<<name>>`` or ``<<name|form>>``. Doubled angle brackets do not occur around a bare name in
# Python, so code with braces, percent signs and f-strings needs no escaping in the files.
SLOT = re.compile(r"<<([a-z][a-z0-9_]*)(?:\|([a-z]+))?>>")
_SLOT_NAME = re.compile(r"[a-z][a-z0-9_]*")

# Reserved name: the spot in a template where code is missing.
GAP = "gap"


def article(value: str) -> str:
    """A slot's value as words behind its indefinite article."""
    text = value.replace("_", " ")
    # "user", "unit" and the like start with a vowel letter but not with a vowel sound.
    if text.startswith(("user", "usage", "uni", "euro", "one")):
        return f"a {text}"
    return f"{'an' if text[0].lower() in 'aeiou' else 'a'} {text}"


FORMS: dict[str, Callable[[str], str]] = {
    "words": lambda value: value.replace("_", " "),
    "dash": lambda value: value.replace("_", "-"),
    "camel": lambda value: "".join(part.capitalize() for part in value.split("_")),
    "upper": str.upper,
    "a": article,
}

Text = Annotated[str, Field(min_length=1)]
_Values = Annotated[list[Text], Field(min_length=1)]


class Entry(BaseModel):
    """What is asked, in several phrasings, and the words that its slots may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    tasks: Annotated[list[Text], Field(min_length=1)]
    slots: Annotated[dict[str, _Values], Field(min_length=1)]

    @field_validator("tasks")
    @classmethod
    def _join_lines(cls, value: list[str]) -> list[str]:
        return [" ".join(task.split()) for task in value]

    @model_validator(mode="after")
    def _check_slots(self) -> Entry:
        for name, values in self.slots.items():
            if not _SLOT_NAME.fullmatch(name) or name == GAP:
                raise ValueError(f"slot name {name!r} is not allowed")
            if len(set(values)) != len(values):
                raise ValueError(f"slot {name!r} has repeated values")
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError("two tasks are the same")
        return self

    def check_text(self, label: str, text: str) -> None:
        """Raise ValueError, naming the text by its label, unless it shows every slot and no other.

        If all texts of an entry do, the number of distinct rows is the product of the slots'
        sizes, and the prompt settles each word of the answer.
        """
        used = set()
        for name, form in SLOT.findall(text):
            if name not in self.slots:
                raise ValueError(f"{label} uses the unknown slot {name!r}")
            if form and form not in FORMS:
                raise ValueError(f"{label} uses the unknown form {form!r} of slot {name!r}")
            used.add(name)
        missing = [name for name in self.slots if name not in used]
        if missing:
            raise ValueError(f"{label} does not use the slot {missing[0]!r}")

    @property
    def combinations(self) -> int:
        """How many distinct rows this entry can give."""
        return math.prod(len(values) for values in self.slots.values())

    def values(self, index: int) -> dict[str, str]:
        """The slot values of combination ``index``, counting from zero."""
        chosen = {}
        for name, values in self.slots.items():
            index, position = divmod(index, len(values))
            chosen[name] = values[position]
        return chosen


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with a value in place of each slot."""

    def value(match: re.Match[str]) -> str:
        name, form = match.groups()
        return FORMS[form](values[name]) if form else values[name]

    return SLOT.sub(value, text)


Kind = TypeVar("Kind", bound=Entry)


def read_entries(folder: Path, kind: type[Kind], noun: str) -> list[Kind]:
    """Read all ``*.yaml`` files of ``folder``, in order of file name.

    A file is a mapping with the list of its entries, under their ``noun`` in the plural, and,
    optionally, ``lists``: a place for YAML anchors that several entries share. Anything malformed
    is a ``ValueError`` of one line that names the file and the entry.
    """
    found: list[Kind] = []
    origin: dict[str, str] = {}
    for path in sorted(Path(folder).glob("*.yaml"), key=lambda item: item.name):
        for number, entry in enumerate(_listed(path, f"{noun}s"), start=1):
            name = entry.get("id") if isinstance(entry, dict) else None
            label = f"{path.name}: {noun} {' '.join(str(name or f'number {number}').split())}"
            parsed = _parsed(label, kind, entry)
            if parsed.id in origin:
                raise ValueError(f"{label}: id already used in {origin[parsed.id]}")
            origin[parsed.id] = path.name
            found.append(parsed)
    if not found:
        raise ValueError(f"no {noun}s in {Path(folder).name}: expected *.yaml files there")
    return found


def _listed(path: Path, key: str) -> list[Any]:
    content = read_yaml(path)
    listed = isinstance(content, dict) and isinstance(content.get(key), list)
    if not listed:
        raise ValueError(f"{path.name}: expected a mapping with a list named '{key}'")
    unknown = [other for other in content if other not in (key, "lists")]
    if unknown:
        raise ValueError(f"{path.name}: unknown key {unknown[0]!r} beside '{key}' and 'lists'")
    return content[key]


def _parsed(label: str, kind: type[Kind], entry: Any) -> Kind:
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = " ".join(first["msg"].removeprefix("Value error, ").split())
        raise ValueError(f"{label}: {where + ': ' if where else ''}{reason}") from error


def quotas(sizes: Sequence[int], rows: int, rng: random.Random) -> list[int]:
    """Share ``rows`` out evenly; what a small entry cannot take goes to the others.

    Raises ValueError for less than one row, and for more than the sizes add up to.
    """
    if rows < 1:
        raise ValueError(f"rows must be at least 1, not {rows}")
    if rows > sum(sizes):
        raise ValueError(f"{rows} rows asked for, but only {sum(sizes)} are possible")
    shares = [0] * len(sizes)
    left = rows
    while left:
        room = [n for n, size in enumerate(sizes) if shares[n] < size]
        share = left // len(room)
        if share == 0:
            for n in rng.sample(room, left):
                shares[n] += 1
            break
        for n in room:
            taken = min(share, sizes[n] - shares[n])
            shares[n] += taken
            left -= taken
    return shares
