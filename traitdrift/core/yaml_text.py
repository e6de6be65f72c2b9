"""YAML 1.2 as it comes in: bounded before anything is made of it, what is wrong is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from traitdrift.core.text import printable, read_text

# Bounds far above any use, below what would go on for ever.
LARGEST_FILE = 4_000_000  # bytes
MOST_VALUES = 200_000  # once aliases are written out
DEEPEST = 40
LONGEST_NUMBER = 1000  # characters of it; Python writes out none of more than 4,300 digits


def read_yaml(path: Path, largest: int = LARGEST_FILE) -> Any:
    """What a YAML file holds, in which `1e-05` is a number; None where it is empty.

    Raises ValueError with the file's name for what is not YAML in UTF-8, has a key twice or a tag
    of another language, nests too deep, or says by aliases more than `MOST_VALUES`.
    """
    if path.stat().st_size > largest:
        raise ValueError(f"{path}: more than {largest:,} bytes; split the file")
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, where: str, most: int = MOST_VALUES) -> Any:
    """The same of a text; errors begin with `where`."""
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # YAML allows them
    try:
        root = yaml.compose(text)
        if root is None:
            return None
        _refuse_beyond(root, most)
        return yaml.constructor.construct_document(root)
    except YAMLError as error:
        raise ValueError(f"{where}: not YAML: {printable(str(error))[:500]}")
    except RecursionError:
        raise ValueError(f"{where}: not YAML that is read: nested too deeply")
    # What its constructors raise on values that no YAML has: a date's 13th month, a mapping as key.
    except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError) as error:
        raise ValueError(f"{where}: not YAML that is read: {printable(str(error))[:500]}")


def _refuse_beyond(root: Node, most: int) -> None:
    """Raise ValueError where a document, aliases written out, has too much or nests too deep.

    An alias is a node that stands in several places: each is counted once and its size added
    wherever it stands, so that this takes the time of the text and not of what it would become.
    """
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def size(node: Node, depth: int) -> int:
        if id(node) in above:
            raise ValueError("an alias that holds itself; write it out")
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep; write it flatter")
        if id(node) not in sizes:
            above.add(id(node))
            within: list[Node] = []
            if isinstance(node, MappingNode):
                within = [one for pair in node.value for one in pair]
            elif isinstance(node, SequenceNode):
                within = node.value
            elif _is_long_number(node):
                raise ValueError(f"a number of more than {LONGEST_NUMBER:,} characters")
            sizes[id(node)] = 1 + sum(size(one, depth + 1) for one in within)
            above.discard(id(node))
        if sizes[id(node)] > most:
            raise ValueError(f"more than {most:,} values once its aliases are written out")
        return sizes[id(node)]

    size(root, 0)


def _is_long_number(node: Node) -> bool:
    whole = isinstance(node, ScalarNode) and str(node.tag).endswith(":int")
    return whole and len(node.value) > LONGEST_NUMBER
