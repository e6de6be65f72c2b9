"""params.yaml, section by section: what a section is, and the types that its values share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from traitdrift.core.text import printable
from traitdrift.core.yaml_text import read_yaml

PARAMS = Path("params.yaml")
LARGEST = 1_000_000  # bytes of it


def no_address(path: str) -> str:
    """A path as it is; a fault for an address, which DVC would ask another machine for."""
    if "://" in path:
        raise PydanticCustomError("address", "an address; name a file or folder on this machine")
    return path


# The type of a fault whose value is not shown: it may hold a password.
UNSHOWN = "unshown"

# Files and folders are named by it.
Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$", max_length=100)]
# As they stand on the hub; none begins as an option of a command does.
HubId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?$")
]
Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")]
# A path that is shown, hashed and opened: printable, no option and no address of another machine.
PathText = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*$"),
    AfterValidator(no_address),
]
Position = Annotated[
    str,
    StringConstraints(pattern=r"^(prompt_last|prompt_mean|response_mean|response_first_[1-9]\d*)$"),
]
Share = Annotated[float, Field(gt=0, lt=1)]
# Upper bounds are far above any use, and below what would go on for ever.
MOST = 100_000_000
Count = Annotated[int, Field(ge=1, le=MOST)]
Samples = Annotated[int, Field(ge=1, le=100_000)]  # of each question
Draws = Annotated[int, Field(ge=100, le=10_000_000)]  # of a bootstrap or a permutation test
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Temperature = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Dtype = Literal["bfloat16", "float16", "float32"]
Quantise = Literal["none", "4bit", "8bit"]
MethodName = Literal["mean_diff", "probe", "gradient", "pca_diff", "ica", "random"]


class Section(BaseModel):
    """A mapping of params.yaml: unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
            known = ", ".join(map(str, value)) if isinstance(value, dict) and done else ""
            known = printable(known)[:500]
            raise ValueError(f"{path}: {key}: missing" + (f"; there are {known}" if known else ""))
        value = value[name]
        done.append(name)
    return checked(kind, value, path, done)


def load(path: Path) -> Any:
    """What a params.yaml holds; a ValueError for what is not YAML, as `read_yaml` has it."""
    return read_yaml(path, LARGEST)


def checked(kind: Any, value: Any, path: Path, within: list[str]) -> Any:
    """A value of the file as a type has it; a ValueError of one line with the keys at fault."""
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        faults = [_line(fault, within, value) for fault in error.errors()[:3]]
        raise ValueError(f"{path}: " + "; ".join(faults))


def _line(fault: Any, within: list[str], value: Any) -> str:
    key = ".".join([*within, *_keys(fault["loc"], value)]) or "the file"
    message = printable(fault["msg"].removeprefix("Value error, "))[:500]  # it may hold the value
    if fault["type"] == "extra_forbidden":
        return f"{printable(key)[:80]}: unknown key; remove it or correct its name"
    if fault["type"] == "missing":
        return f"{printable(key)[:80]}: missing"
    if fault["type"] == UNSHOWN:
        return f"{printable(key)[:80]}: {message}"
    if fault["type"] == "value_error":  # of a rule between keys, which names them itself
        return message
    return f"{printable(key)[:80]}: {shown(fault['input'])}: {message}"


def _keys(place: tuple[Any, ...], value: Any) -> Iterator[str]:
    """The keys of the file that lead to a fault.

    A union's fault names the member that was meant too, by what its `source` or `backend` says.
    """
    told: list[Any] = []
    for part in place:
        if isinstance(value, dict) and not told:
            told = [value.get("source"), value.get("backend")]
            if part in told:
                continue
        yield str(part)
        told, value = [], value.get(part) if isinstance(value, dict) else None


def shown(value: Any) -> str:
    """A value for a message of one line: itself where that is short, else its beginning or kind."""
    if isinstance(value, (list, dict)) or (isinstance(value, int) and abs(value) >= 10**30):
        return f"a {type(value).__name__}"
    text = printable(repr(value))
    return text if len(text) <= 80 else f"{text[:80]}..."
