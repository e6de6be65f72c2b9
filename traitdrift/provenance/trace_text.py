"""A trace as a tree to read: from the result down, no part of it twice."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.text import Text
from rich.tree import Tree

from traitdrift.provenance.explain import differences, shown
from traitdrift.provenance.lockfile import makers
from traitdrift.provenance.trace import HOLDS, Link, State, Trace, Weights
from traitdrift.provenance.verify import leaves


def short(digest: str) -> str:
    """The first letters of a digest."""
    return digest.removesuffix(".dir")[:8]


def of(trace: Trace) -> Tree:
    """The tree: stages, and under each what it ran with and read, down to raw files."""
    tree = Tree(_head(trace))
    seen: set[Any] = set()
    for end in trace.ends:
        _grow(tree, trace, end, seen)
    return tree


def _head(trace: Trace) -> Text:
    head = Text(trace.path, style="bold")
    if trace.key is not None:
        head.append(f":{trace.key} = {shown(trace.value)}")
    if trace.rev is not None and trace.commit is not None:
        head.append(f"  at {trace.rev} ({trace.commit[:7]})", style="not bold")
    for link in (link for link in trace.links if link.kind == "output"):
        if link.name != trace.path:  # a file in an output folder, or a folder of outputs
            own = "" if trace.digest is None else f"  {short(trace.digest)}"
            head.append(f"{own}  {link.name}", style="not bold")
        head.append(f"  {short(link.recorded)}  ", style="not bold").append_text(_mark(link))
    return head


def _mark(link: Link) -> Text:
    """Whether a link holds, in a word."""
    mark = _word(link.state, link.note)
    if link.workspace and link.workspace != link.state and link.workspace != "not here":
        mark.append(", workspace ").append(_word(link.workspace, ""))
    return mark


def _word(state: State, note: str) -> Text:
    style = {"same": "green", "not here": "yellow"}.get(state, "bold red")
    return Text(state, style=style).append(f" ({note})" if note else "", style="not bold default")


def _grow(node: Tree, trace: Trace, name: str, seen: set[Any]) -> None:
    """Add a stage and everything under it."""
    seen.add(name)
    step = node.add(Text(name, style="bold cyan"))
    for link in trace.of(name, "command"):
        step.add(Text(f"command  {link.recorded}  ").append_text(_mark(link)))
    for link in trace.of(name, "parameter"):
        step.add(Text(f"parameter  {link.name} = {_value(link)}  ").append_text(_mark(link)))
    if code := trace.of(name, "code"):
        step.add(_code(code, seen))
    for link in trace.of(name, "raw"):
        step.add(_file("raw", link))
    for link in trace.of(name, "input"):
        made = [maker.name for maker in makers(trace.steps, link.name)]
        line = _file("input", link)
        new = [maker for maker in made if maker not in seen]
        if len(new) < len(made):
            line.append(f"  by {', '.join(m for m in made if m in seen)}: see above", style="dim")
        branch = step.add(line)
        for weights in trace.weights:
            if weights.path == link.name and weights not in seen:
                seen.add(weights)
                branch.add(_weights(weights))
        for maker in new:
            if maker not in seen:  # by what was added under its elder
                _grow(branch, trace, maker, seen)


def _value(link: Link) -> str:
    if link.state == "differs":
        changes = differences(link.name, link.recorded, link.found)
        return ", ".join(f"{key}: {old}, now {new}" for key, old, new in changes)
    if isinstance(link.recorded, dict):
        return ", ".join(f"{key}: {shown(value)}" for key, value in leaves(link.recorded))
    return shown(link.recorded)


def _file(kind: str, link: Link) -> Text:
    digest = short(link.recorded) if link.recorded else "-"
    return Text(f"{kind}  {link.name}  {digest}  ").append_text(_mark(link))


def _code(links: list[Link], seen: set[Any]) -> Text:
    """All code of a stage in one paragraph: what was named above is only counted."""
    new = [link for link in links if (link.name, link.recorded) not in seen]
    seen.update((link.name, link.recorded) for link in new)
    line = Text("code  ")
    for _, group in groupby(sorted(new, key=_code_state), _code_state):
        files = list(group)
        line.append_text(_mark(files[0])).append(": ")
        line.append(", ".join(f"{f.name} {short(f.recorded or '-')}" for f in files)).append("; ")
    above = [link for link in links if link not in new]
    if not above:
        line.right_crop(2)
        return line
    line.append(f"{len(above)} see above")
    changed = sum(not link.holds for link in above)
    return line.append(f", {changed} of them changed", style="bold red") if changed else line


def _code_state(link: Link) -> tuple[bool, str, str]:
    return link.state in HOLDS, link.state, link.workspace or ""


def _weights(weights: Weights) -> Text:
    line = Text("weights  ")
    if weights.adapter_digest:
        line.append(f"adapter sha256 {short(weights.adapter_digest)} on ")
    line.append(f"{weights.model or 'base'} sha256 {short(weights.base_digest)}")
    return line


def broken(trace: Trace) -> list[str]:
    """What does not hold, one line each, with the stages that it concerns."""
    lines: dict[str, list[str]] = {}
    for link in trace.links:
        if not link.holds:
            for line in _complaint(link):
                lines.setdefault(line, []).append(link.step)
    return [f"{line} ({_some(steps)})" for line, steps in lines.items()]


def _some(steps: list[str]) -> str:
    more = len(steps) - 3
    return ", ".join(steps[:3]) + (f" and {more} more" if more > 0 else "")


def _complaint(link: Link) -> list[str]:
    what = link.name if link.kind == link.name else f"{link.kind} {link.name}"
    if link.state == "not recorded":
        return [f"{what}: read since dvc.yaml changed, not yet when the stage ran"]
    if link.state == "not as written":
        return [f"{what}: {short(link.recorded)} was read, but {link.note}"]
    if link.state == "missing":
        return [f"{what}: missing" + (f", {link.note}" if link.note else "")]
    if link.kind == "parameter":
        changes = differences(link.name, link.recorded, link.found)
        return [f"parameter {key}: was {old}, is {new}" for key, old, new in changes]
    if link.kind == "command":
        return [f"command: was {link.recorded}, is {link.found}"]
    done = "written" if link.kind == "output" else "read"
    return [f"{what}: {short(link.recorded)} was {done}, {short(link.found)} is here now"]
