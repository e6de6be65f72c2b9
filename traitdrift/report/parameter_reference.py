"""docs/parameters.md: every key of params.yaml, by its schema, its value and its comment there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from traitdrift.core.config import PARAMS, load
from traitdrift.params import Params

HEAD = """# Parameters

`params.yaml` is the only source of what can change a result. `python -m traitdrift check` says what
is wrong with it: an unknown key, a value of another type, a name that is defined nowhere. `dvc exp
run -S KEY=VALUE` sets one for an experiment. What cannot change a result is an
[environment variable](running.md#what-is-no-parameter).

This page is written by `python -m traitdrift pages`: what is allowed from the schema, values and
remarks from `params.yaml`. `<id>` stands for a name that you give: `a` to `z`, digits, `_`."""
# A pattern of the schema in words.
PATTERNS = {
    r"^[a-z0-9_]+$": "id",
    r"^(prompt_last|prompt_mean|response_mean|response_first_[1-9]\d*)$": "position",
}
Schema = Mapping[str, Any]


def parameters(root: Path) -> str:
    """The page of the schema and of the params.yaml below `root`."""
    text = (root / PARAMS).read_text(encoding="utf-8")
    values, remarks = load(root / PARAMS), comments(text)
    schema = Params.model_json_schema()
    blocks = [HEAD]
    plain = [k for k, one in schema["properties"].items() if _leaf(_meant(one, schema))]
    blocks += [
        "## Choices",
        _table(_rows({k: schema["properties"][k] for k in plain}, schema, values, remarks)),
    ]
    for key, one in schema["properties"].items():
        if key in plain:
            continue
        blocks.append(f"## {key}")
        entry, name, value = _meant(one, schema), key, values[key]
        if remarks.get(key):
            blocks.append(_sentence(remarks[key]))
        if "patternProperties" in entry:
            entry, name = (
                _meant(next(iter(entry["patternProperties"].values())), schema),
                f"{key}.<id>",
            )
            blocks += _entries(key, value, remarks)
            value = next(iter(value.values()), {})
        for kind, title in _kinds(entry, schema):
            if title:
                blocks.append(title)
            fitting = value if "oneOf" not in entry or _fits(kind, value) else {}
            found = _rows(kind["properties"], schema, fitting, remarks, f"{name}.", key)
            blocks.append(_table(found))
    return "\n\n".join(blocks) + "\n"


def _sentence(remark: str) -> str:
    return (remark[:1].upper() + remark[1:] + ".").replace("<", "\\<")


def comments(text: str) -> dict[str, str]:
    """What stands behind `#`, by dotted key: in the key's line, or in the lines above it."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    above: list[str] = []
    for line in text.splitlines():
        if matched := re.match(r"( *)#\s*(.*)", line):
            above.append(matched[2])
        elif matched := re.match(r"( *)([A-Za-z0-9_]+):(?:\s+[^#]*?)?(?:\s*#\s*(.*))?$", line):
            depth = len(matched[1])
            path = [one for one in path if one[0] < depth] + [(depth, matched[2])]
            if remark := matched[3] or " ".join(above):
                found[".".join(name for _, name in path)] = remark
            above = []
        else:
            above = []
    return found


def _meant(one: Schema, schema: Schema) -> Schema:
    """A schema, or that to which it refers."""
    return schema["$defs"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one


def _leaf(one: Schema) -> bool:
    return not {"properties", "patternProperties", "oneOf"} & set(one)


def _kinds(entry: Schema, schema: Schema) -> Iterator[tuple[Schema, str]]:
    """The mappings that a key may hold, each with a line that says when."""
    if "oneOf" not in entry:
        yield entry, ""
        return
    key = entry["discriminator"]["propertyName"]
    for name, reference in entry["discriminator"]["mapping"].items():
        kind = _meant({"$ref": reference}, schema)
        yield kind, f"**`{key}: {name}`** {kind.get('description', '')}".strip()


def _fits(kind: Schema, value: Any) -> bool:
    constants = {k: one["const"] for k, one in kind["properties"].items() if "const" in one}
    return all(value.get(key) == constant for key, constant in constants.items())


def _entries(key: str, value: Mapping[str, Any], remarks: Mapping[str, str]) -> Iterator[str]:
    if value:
        names = (f"`{n}`" + (f" ({r})" if (r := remarks.get(f"{key}.{n}")) else "") for n in value)
        yield f"Entries: {', '.join(names)}. The values below are of the first with such keys."


def _rows(
    properties: Schema,
    schema: Schema,
    values: Mapping[str, Any],
    remarks: Mapping[str, str],
    prefix: str = "",
    section: str = "",
) -> Iterator[list[str]]:
    """Key, what is allowed, value and remark, keys of mappings within one after the other."""
    for key, raw in properties.items():
        one = _meant(raw, schema)
        has = isinstance(values, Mapping) and key in values
        value = values[key] if has else None
        if "properties" in one:
            yield from _rows(
                one["properties"], schema, value or {}, remarks, f"{prefix}{key}.", section
            )
            continue
        written = (
            f"`{json.dumps(value)}`" if has and value is not None else "nothing" if has else ""
        )
        if not has and "default" in one:
            written = f"`{json.dumps(one['default'])}` if left out"
        yield [
            f"`{prefix}{key}`",
            allowed(one, schema),
            written,
            _remark(prefix + key, section, remarks),
        ]


def _remark(key: str, section: str, remarks: Mapping[str, str]) -> str:
    """The comment on a key; of `recipes.<id>.seed`, that of the first entry which has one."""
    pattern = re.escape(key).replace(re.escape("<id>"), r"[^.]+")
    found = (text for name, text in remarks.items() if re.fullmatch(pattern, name))
    return next(found, "").replace("<", "\\<")


def allowed(one: Schema, schema: Schema) -> str:
    """What a value may be, in words."""
    one = _meant(one, schema)
    if "const" in one:
        return f"`{one['const']}`"
    if "enum" in one:
        return " or ".join(f"`{value}`" for value in one["enum"])
    if "anyOf" in one:
        return " or ".join(allowed(kind, schema) for kind in one["anyOf"])
    if "oneOf" in one:
        return "as an entry of `models`"
    if one["type"] == "array":
        return f"list of {allowed(one['items'], schema)}"
    if one["type"] == "object":
        return "text by id"
    if one["type"] == "string":
        return PATTERNS.get(one.get("pattern", ""), "text")
    kind = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    limits = [
        f"{word} {one[name]:,}" for name, word in words.items() if abs(one.get(name, 2**32)) < 2**32
    ]
    return ", ".join([kind.get(one["type"], "nothing"), *limits])


def _table(rows: Iterable[list[str]]) -> str:
    """A Markdown table without the columns in which nothing stands."""
    table = list(rows)
    head = ["key", "allowed", "value", "remark"]
    kept = [i for i in range(len(head)) if any(row[i] for row in table)]
    lines = [[row[i] for i in kept] for row in (head, ["---"] * len(head), *table)]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines
    )
