"""What the code says to users when something is wrong, read out of its syntax.

A text is a template: `…` stands for each value that is put into it. What it is put together from is
followed through the module it stands in: names, both sides of an `if`, functions that return a
text, dictionaries of texts. A part that can be only one text stands in its place; one that can be
several is `…` there, and each of them a template of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

GAP = "…"
# What is raised is for users, of whichever class, but for those that tell of a fault of the code.
FAULTS = ("AssertionError", "AttributeError", "NotImplementedError", "RuntimeError", "TypeError")
# Which argument of what is called is the text.
SAID = {"warn": 0, "_say": 0, "Outcome": 2}
# Functions whose result is printed, by whoever catches what was raised.
RETURNED = ("one_line", "complaint", "missing", "_complaint")
# A text in a field of an object, which is printed later.
KEPT = ("why",)
# A part of fewer words is a word, no message: `prompt` or `answer`, `in RAM` or `on the GPU`.
WORDS = 3

Function = ast.FunctionDef


def words(text: str) -> int:
    """How many words are left of a template."""
    return sum(bool(re.search("[A-Za-z]{2}", one)) for one in text.split())


def unknown(node: ast.expr) -> bool:
    """Whether an expression without a text may have one that is not written in the code."""
    return not isinstance(node, ast.Constant)


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


class Code:
    """All modules, whose functions and constants may have part in a text of another."""

    def __init__(self, root: Path, folders: Sequence[str]):
        self.root = root
        files = sorted(path for name in folders for path in (root / name).rglob("*.py"))
        self.modules = [Module(path, self) for path in files]

    @cached_property
    def functions(self) -> dict[str, list[tuple[Module, Function]]]:
        found: dict[str, list[tuple[Module, Function]]] = {}
        for module in self.modules:
            for function in module.functions:
                found.setdefault(function.name, []).append((module, function))
        return found

    @cached_property
    def constants(self) -> dict[str, list[tuple[Module, ast.expr]]]:
        found: dict[str, list[tuple[Module, ast.expr]]] = {}
        for module in self.modules:
            for name, values in module.bound(module.tree.body).items():
                found.setdefault(name, []).extend((module, value) for value in values)
        return found

    def complaints(self) -> dict[str, str]:
        """Every template, with a place where it stands."""
        found: dict[str, str] = {}
        for module in self.modules:
            for place, text in module.complaints():
                found.setdefault(re.sub(f"{GAP}+", GAP, " ".join(text.split())), place)
        return found


class Module:
    """One file."""

    def __init__(self, path: Path, code: Code):
        self.path, self.code = path, code
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.functions = [node for node in ast.walk(self.tree) if isinstance(node, Function)]
        self.imported = {
            name.asname or name.name: code.root.joinpath(*node.module.split(".")).with_suffix(".py")
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for name in node.names
        }

    def complaints(self) -> Iterator[tuple[str, str]]:
        """Place and template of each."""
        for scope in [None, *self.functions]:
            for node in own_nodes(scope.body if scope else self.tree.body):
                for said in self.texts_said(node, scope):
                    text = Text(self, scope)
                    whole = text.of(said)
                    parts = [part.lstrip(", ") for part in text.parts if words(part) >= WORDS]
                    for one in [*filter(words, whole), *parts]:
                        yield f"{self.path.name}:{node.lineno}", one

    def texts_said(self, node: ast.AST, scope: Function | None) -> Iterator[ast.expr]:
        """The expressions of texts that a statement or a call tells a user."""
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            raised = name_of(node.exc.func)
            place = int(raised == "PydanticCustomError")  # whose first is its type
            if raised not in FAULTS and len(node.exc.args) > place:
                yield node.exc.args[place]
        if isinstance(node, ast.Call):
            called = name_of(node.func)
            place = SAID.get(called)
            if called == "print":  # what it prints on stdout, by no console, is a result
                beside = any(one.arg == "file" for one in node.keywords)
                place = 0 if beside or isinstance(node.func, ast.Attribute) else None
            if place is not None and len(node.args) > place:
                yield node.args[place]
        if isinstance(node, ast.Return) and scope and scope.name in RETURNED and node.value:
            yield node.value
        if isinstance(node, ast.Assign):
            for name, value in pairs(node.targets[0], node.value):
                if isinstance(name, ast.Attribute) and name.attr in KEPT:
                    yield value

    def bound(self, body: Sequence[ast.stmt]) -> dict[str, list[ast.expr]]:
        """What is bound to each name in some statements, functions within them left out."""
        found: dict[str, list[ast.expr]] = {}

        def bind(target: ast.expr, value: ast.expr) -> None:
            for name, one in pairs(target, value):
                if isinstance(name, ast.Name):
                    found.setdefault(name.id, []).append(one)

        for node in own_nodes(body):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    bind(target, node.value)
            elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
                bind(node.target, node.value or ast.Constant(None))
            elif isinstance(node, ast.For) and isinstance(node.iter, (ast.Tuple, ast.List)):
                for one in node.iter.elts:
                    bind(node.target, one)
        return found


def own_nodes(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of some statements, without those of functions that are defined in them."""
    for node in body:
        yield node
        if not isinstance(node, (Function, ast.AsyncFunctionDef)):
            yield from own_nodes([*ast.iter_child_nodes(node)])


def pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """Names and what they are bound to, where both sides are written out."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return [pair for two in zip(target.elts, value.elts, strict=False) for pair in pairs(*two)]
    return [(target, value)]


class Text:
    """What an expression of a function may say."""

    def __init__(self, module: Module, scope: Function | None, seen: frozenset[str] = frozenset()):
        self.module, self.scope, self.seen = module, scope, seen
        self.parts: list[str] = []

    def of(self, node: ast.expr | None) -> list[str]:
        """All that it may be; nothing where that is not written in the code."""
        match node:
            case ast.Constant(value=str() as text):
                return [text]
            case ast.JoinedStr(values=values):
                return [self.joined(values)]
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return [self.joined([left, right])]
            case ast.BinOp(op=ast.Mod(), left=left, right=right):
                put = self.only(right)
                return [re.sub(r"%[sdr]", lambda _: put, text) for text in self.of(left)]
            case ast.IfExp(body=body, orelse=orelse):
                return self.any([body, orelse])
            case ast.BoolOp(values=values) | ast.List(elts=values):
                return self.any(values)
            case ast.NamedExpr(value=value) | ast.ListComp(elt=value) | ast.GeneratorExp(elt=value):
                return self.of(value)
            case ast.Subscript(value=value, slice=ast.Slice()):
                return self.of(value)
            case ast.Subscript(value=value):
                return self.values_of(value) or self.of(value)
            case ast.Name(id=name):
                return self.named(name)
            case ast.Call():
                return self.called(node)
        return []

    def joined(self, nodes: Sequence[ast.expr]) -> str:
        return "".join(self.only(node) for node in nodes)

    def only(self, node: ast.expr) -> str:
        """The one text that an expression is, else a gap, and those that it may be are parts."""
        if isinstance(node, ast.FormattedValue):
            return self.only(node.value)
        if isinstance(node, ast.Name) and (number := self.number(node.id)) is not None:
            return number
        texts = self.of(node)
        if len(texts) == 1 and words(texts[0]):
            return texts[0]
        if len(texts) == 1 and isinstance(node, ast.Constant):
            return texts[0]
        self.parts += texts
        return GAP

    def number(self, name: str) -> str | None:
        """A whole number that a module knows by a name in capitals."""
        match [value for _, value in self.constant(name)]:
            case [ast.Constant(value=int() as number)] if name.isupper():
                return f"{number:,}"
        return None

    def named(self, name: str) -> list[str]:
        """A name of the function, one that it was called with, or one of a module."""
        inner = self.within(self.module, self.scope, name)
        if inner.seen == self.seen:
            return []
        if self.scope and name in (bound := self.module.bound(self.scope.body)):
            return inner.all(bound[name], self)
        arguments = self.scope.args if self.scope else None
        if self.scope and arguments and name in [one.arg for one in arguments.args]:
            place = [one.arg for one in arguments.args].index(name)
            return self.given(self.scope.name, name, place)
        found = []
        for module, value in self.constant(name):
            found += self.within(module, None, name).all([value], self)
        return found

    def constant(self, name: str) -> list[tuple[Module, ast.expr]]:
        """What a module-wide name stands for, here or where it is imported from."""
        known = self.module.code.constants.get(name, [])
        home = self.module.imported.get(name, self.module.path)
        return [one for one in known if one[0].path == home]

    def given(self, function: str, name: str, place: int) -> list[str]:
        """What a function of this module is called with."""
        found: list[str] = []
        for scope in [None, *self.module.functions]:
            for node in own_nodes(scope.body if scope else self.module.tree.body):
                if isinstance(node, ast.Call) and name_of(node.func) == function:
                    inner = self.within(self.module, scope, name)
                    values = [one.value for one in node.keywords if one.arg == name]
                    if not values and isinstance(node.func, ast.Name):
                        values = node.args[place : place + 1]
                    found += inner.all(values, self)
        return found

    def values_of(self, node: ast.expr) -> list[str]:
        """The values of a dictionary that is written out."""
        name = name_of(node)
        local = self.module.bound(self.scope.body).get(name, []) if self.scope else []
        known = [(self.module, one) for one in local] or self.constant(name)
        tables = [(m, one) for m, one in known if isinstance(one, ast.Dict)]
        return [
            text
            for module, table in tables
            for text in self.within(module, self.scope, name).all(table.values, self)
        ]

    def called(self, node: ast.Call) -> list[str]:
        """What a method of a text makes of it, or a function of the repository returns."""
        called = name_of(node.func)
        if called == "printable":
            return self.of(node.args[0])
        if isinstance(node.func, ast.Attribute):
            if called == "format":
                return [re.sub(r"{\w+}", GAP, text) for text in self.of(node.func.value)]
            if called == "replace":
                return self.of(node.func.value)
            if called == "join":
                self.parts += self.of(node.args[0])
                return []
        found = self.module.code.functions.get(called, [])
        here = [one for one in found if one[0] is self.module]
        texts: list[str] = []
        for module, function in here or found:
            if "str" not in ast.unparse(function.returns or ast.Constant(None)):
                continue
            inner = self.within(module, function, called)
            if inner.seen != self.seen:
                returned = [
                    one.value
                    for one in own_nodes(function.body)
                    if isinstance(one, ast.Return) and one.value
                ]
                texts += inner.all(returned, self)
        return texts

    def within(self, module: Module, scope: Function | None, name: str) -> Text:
        place = scope.name if scope else ""
        return Text(module, scope, self.seen | {f"{module.path}:{place}:{name}"})

    def any(self, nodes: Sequence[ast.expr]) -> list[str]:
        """What either of some expressions may be."""
        found: list[str] = []
        for node in nodes:
            found += self.of(node) or [GAP] * unknown(node)
        return found

    def all(self, nodes: Sequence[ast.expr], whole: Text) -> list[str]:
        """The same for `whole`, of which it is a part."""
        texts = self.any(nodes)
        whole.parts += self.parts
        return texts


@dataclass(frozen=True)
class Entry:
    """Messages of docs/troubleshooting.md that share a cause, and what the page says of them."""

    section: str
    messages: list[str]
    text: str


def entries(page: str) -> list[Entry]:
    """The entries of the page: items of a list that begin with lines of nothing but code."""
    found: list[Entry] = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        for item in re.split(r"^- ", section, flags=re.MULTILINE)[1:]:
            lines = [line.strip() for line in item.splitlines()]
            spans = [re.fullmatch(r"(`+)( ?)(.+?)\2\1\\", line) for line in lines]
            messages = [span[3] for span in spans if span]
            text = [line for line, span in zip(lines, spans, strict=True) if not span]
            found.append(Entry(title, messages, " ".join(filter(None, text))))
    return found


def pattern(message: str) -> re.Pattern[str]:
    """What finds a line that a template of the page is of."""
    return re.compile(".*".join(map(re.escape, message.split(GAP))), re.DOTALL)
