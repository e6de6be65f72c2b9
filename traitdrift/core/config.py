"""params.yaml, section by section: what a section is, and the types that its values share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PARAMS = Path("params.yaml")
# The type of a fault whose value is not shown: it may hold a password.
UNSHOWN = "unshown"

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
Position = Annotated[
    str,
    StringConstraints(pattern=r"^(prompt_last|prompt_mean|response_mean|response_first_[1-9]\d*)$"),
]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Temperature = Annotated[float, Field(ge=0)]
Dtype = Literal["bfloat16", "float16", "float32"]
Quantise = Literal["none", "4bit", "8bit"]
MethodName = Literal["mean_diff", "probe", "gradient", "pca_diff", "ica", "random"]


class Section(BaseModel):
    """A mapping of params.yaml: unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def section(kind: Any, key: str, path: Path = PARAMS) -> Any:
    """The value of params.yaml under a dotted key (`recipes.quick`), checked to be of a type.

    A stage reads its own sections by this and no other, so that a key of another section can
    not make it stale. Whether sections fit each other is asked of the whole file
    (`traitdrift.params`). Raises ValueError with one line: file, key, value, what is allowed.
    """
    value = load(path)
    done: list[str] = []
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            known = ", ".join(value) if isinstance(value, dict) and done else ""
            raise ValueError(f"{path}: {key}: missing" + (f"; there are {known}" if known else ""))
        value = value[name]
        done.append(name)
    return checked(kind, value, path, done)


def load(path: Path) -> Any:
    """What a params.yaml holds, by YAML 1.2, in which `1e-05` is a number.

    Raises ValueError for what is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}")


def checked(kind: Any, value: Any, path: Path, within: list[str]) -> Any:
    """A value of the file as a type has it; a ValueError of one line with the keys at fault."""
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        faults = [_line(fault, within) for fault in error.errors()[:3]]
        raise ValueError(f"{path}: " + "; ".join(faults))


def _line(fault: Any, within: list[str]) -> str:
    # A union's fault names the member that was meant, which is no key of the file.
    tags = ("wheel", "hub", "path", "none", "local", "endpoint")
    key = ".".join([*within, *(str(part) for part in fault["loc"] if part not in tags)])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or correct its name"
    if fault["type"] == "missing":
        return f"{key}: missing"
    if fault["type"] == UNSHOWN:
        return f"{key}: {message}"
    if fault["type"] == "value_error":  # of a rule between keys, which names them itself
        return message
    return f"{key}: {fault['input']!r}: {message}"
