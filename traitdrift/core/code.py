"""How much of a text is code: Markdown fences, Python that parses, and the signs of single lines.

Text is read, never executed or imported.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
import sys
import textwrap
import warnings
from dataclasses import dataclass
from enum import Enum

# Characters of an answer that are read: some 5,000 tokens, a time of parsing that nobody notices.
READ = 20_000


@dataclass(frozen=True)
class Part:
    """A stretch of the answer; ``tag`` is the first word after a fence, None outside a fence."""

    text: str
    tag: str | None


_CLEANUP = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u00a0": " ",
        "\u2028": "\n",
        "\u2029": "\n",
        "\x00": None,
        "\u200b": None,
        "\u200c": None,
        "\u200d": None,
        "\ufeff": None,
    }
)


def tidy(answer: str) -> str:
    """Unify line ends, spaces and quotation marks, and drop characters that no text needs."""
    text = answer.replace("\r\n", "\n").replace("\r", "\n").translate(_CLEANUP)
    return text.encode("utf-8", "replace").decode("utf-8")


_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})[ \t]*([^`\n]*)")


def split_fences(text: str) -> list[Part]:
    """Split the text at Markdown fences; a fence left open runs to the end of the text."""
    parts: list[Part] = []
    lines: list[str] = []
    tag: str | None = None
    fence = ""
    for line in text.split("\n"):
        match = _FENCE.fullmatch(line)
        if match is None or (fence and match[1][0] != fence[0]):
            lines.append(line)
            continue
        parts.append(Part("\n".join(lines), tag))
        lines = []
        info = match[2].strip()
        if fence and not info:
            fence, tag = "", None
        else:
            # A fence with a language inside an open fence means that the closing one was forgotten.
            fence = match[1]
            tag = re.split(r"[\s{:,]", info.lower().lstrip("{."), maxsplit=1)[0]
    parts.append(Part("\n".join(lines), tag))
    return [part for part in parts if part.text.strip()]


@dataclass(frozen=True)
class Weight:
    """How many visible characters of a part are code and how many are prose."""

    code: int
    prose: int


class _Mark(Enum):
    CODE = "code"
    PROSE = "prose"
    FOLLOWS = "follows"  # a comment, bracket or string that fits code and data alike
    UNCLEAR = "unclear"  # no sign of either


_PROGRAM_TAG = re.compile(
    r"asm|assembly|astro|awk|bash|bat|batch|c|c#|c\+\+|cfg|clojure|cmake|cmd|"
    r"cobol|coffee|console|cpp|cs|csharp|css|cuda|cython|d|dart|docker|dockerfile|"
    r"elixir|elm|erlang|f#|flask|fortran|fsharp|gdscript|glsl|go|golang|gradle|"
    r"graphql|groovy|h|haskell|hcl|hpp|hs|html|ipython|java|javascript|jinja|js|"
    r"jsx|julia|jl|kotlin|kt|less|lisp|lua|makefile|matlab|mysql|nasm|nginx|nim|"
    r"node|objc|objective-c|objectivec|ocaml|octave|pascal|perl|php|pl|plpgsql|"
    r"postgresql|powershell|prolog|ps1|py|pycon|python|python2|python3|r|racket|rb|"
    r"react|rs|ruby|rust|sass|scala|scheme|scss|sh|shell|shell-session|solidity|"
    r"sol|sql|sqlite|svelte|swift|tcl|terraform|ts|tsx|typescript|v|vb|vba|vbnet|"
    r"verilog|vhdl|vim|vue|wasm|zig|zsh"
)
_DATA_TAG = re.compile(
    r"bibtex|csv|diff|env|ini|json|json5|jsonc|jsonl|katex|latex|math|mermaid|"
    r"properties|svg|tex|toml|tsv|xml|yaml|yml"
)
# Unclear lines that lean on fewer strong ones than this share are not taken for code.
_STRONG_SHARE = 0.3


def weight_of(part: Part) -> Weight:
    """Weigh one part of the answer."""
    size = _visible(part.text)
    if _DATA_TAG.fullmatch(part.tag or ""):
        return Weight(0, size)
    source = textwrap.dedent(part.text.strip("\n"))
    tree = _parse(source)
    if tree is not None and _is_program(tree, source):
        return Weight(size, 0)
    lines = [line for line in part.text.split("\n") if line.strip()]
    marks = _mark_lines(lines)
    if _PROGRAM_TAG.fullmatch(part.tag or ""):
        reads_as_prose = _Mark.CODE not in marks and 2 * marks.count(_Mark.PROSE) >= len(marks)
        return Weight(0, size) if reads_as_prose else Weight(size, 0)
    settled = _settle(marks)
    strong = marks.count(_Mark.CODE)
    leaning = sum(
        mark is _Mark.UNCLEAR and kind is _Mark.CODE
        for mark, kind in zip(marks, settled, strict=True)
    )
    if strong < _STRONG_SHARE * (strong + leaning):
        return Weight(0, size)
    code = sum(
        _visible(line) for line, kind in zip(lines, settled, strict=True) if kind is _Mark.CODE
    )
    return Weight(code, size - code)


def weighed(text: str) -> list[tuple[Part, Weight]]:
    """The parts of a tidy text, whose first 20,000 characters are read, each with its weight."""
    with warnings.catch_warnings():
        # Parsing text with stray backslashes or odd comparisons would warn on every answer.
        warnings.simplefilter("ignore")
        return [(part, weight_of(part)) for part in split_fences(text[:READ])]


def holds_code(text: str) -> bool:
    """Tell whether code outweighs prose in any part of an answer, in a fence or outside of them.

    A sentence with a short snippet between its words holds none. An explanation around a fenced
    program does, though the answer as a whole is prose.
    """
    return any(weight.code > weight.prose for _, weight in weighed(tidy(text)))


def _visible(text: str) -> int:
    """Count the characters that are not white space."""
    return sum(map(len, text.split()))


def _settle(marks: list[_Mark]) -> list[_Mark]:
    """Decide every line: the undecided ones go with the line before, else with the one after.

    Comments and brackets between prose and code go with the code, because a comment heads the
    code that it describes.
    """
    following: list[_Mark | None] = []
    kind: _Mark | None = None
    for mark in reversed(marks):
        kind = mark if mark in (_Mark.CODE, _Mark.PROSE) else kind
        following.append(kind)
    settled: list[_Mark] = []
    before: _Mark | None = None
    for mark, after in zip(marks, reversed(following), strict=True):
        before = mark if mark in (_Mark.CODE, _Mark.PROSE) else before
        heads_code = after is _Mark.CODE and (mark is _Mark.FOLLOWS or before is None)
        settled.append(_Mark.CODE if before is _Mark.CODE or heads_code else _Mark.PROSE)
    return settled


def _parse(source: str) -> ast.Module | None:
    """Parse Python source; None for anything that the parser rejects or cannot hold."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


# --- Python that parses ------------------------------------------------------------------------

# Names that mathematics shares with Python say nothing about a text.
_BUILTIN_CALLS = frozenset(dir(builtins)) - {"abs", "max", "min", "pow", "round", "set", "sum"}
_ALWAYS_CODE = frozenset(
    {
        ast.AsyncFor,
        ast.AsyncFunctionDef,
        ast.AugAssign,
        ast.ClassDef,
        ast.DictComp,
        ast.For,
        ast.FunctionDef,
        ast.GeneratorExp,
        ast.JoinedStr,
        ast.Lambda,
        ast.ListComp,
        ast.Match,
        ast.SetComp,
        ast.Try,
    }
)
_ARITHMETIC = (
    ast.BinOp,
    ast.BoolOp,
    ast.Compare,
    ast.Constant,
    ast.List,
    ast.Name,
    ast.Set,
    ast.Tuple,
    ast.UnaryOp,
    ast.Call,
    ast.expr_context,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
    ast.boolop,
)


def _is_program(tree: ast.Module, source: str) -> bool:
    """Tell whether parsed text does more than name things, count or state an equation."""
    rows = [row.encode() for row in source.split("\n")]
    return any(_is_code_sign(node, rows) for node in ast.walk(tree))


def _is_code_sign(node: ast.AST, rows: list[bytes]) -> bool:
    """Tell whether one node of a tree is found in programs but not in sentences or mathematics."""
    if type(node) in _ALWAYS_CODE:
        return True
    if isinstance(node, ast.Call):
        return _is_program_call(node, rows)
    if not isinstance(node, ast.stmt):
        return False
    if isinstance(node, ast.Import):
        return any(
            name.asname or name.name.split(".")[0] in sys.stdlib_module_names for name in node.names
        )
    if isinstance(node, ast.ImportFrom):
        return True
    if isinstance(node, ast.Assign):
        return not all(map(_is_arithmetic, (*node.targets, node.value)))
    if isinstance(node, ast.AnnAssign):
        return node.value is not None and not _is_arithmetic(node.value)
    if isinstance(node, ast.Return):
        return isinstance(node.value, ast.AST) and _is_technical(node.value)
    if isinstance(node, (ast.If, ast.While)):
        return isinstance(node.test, ast.Constant) or _is_technical(node.test)
    return False


def _is_arithmetic(value: ast.expr) -> bool:
    """Tell whether an expression could stand in an equation: numbers, letters, ``f(3)``."""
    for node in ast.walk(value):
        if not isinstance(node, _ARITHMETIC):
            return False
        if isinstance(node, ast.Constant) and not isinstance(node.value, (int, float, complex)):
            return False
        if isinstance(node, ast.Name) and node.id.startswith("__"):
            return False
    return True


def _is_technical(value: ast.expr) -> bool:
    """Tell whether a condition or a returned value goes beyond plain words ("if rain is near")."""
    for node in ast.walk(value):
        if _is_string(node) or isinstance(node, (ast.Attribute, ast.Subscript)):
            return True
        if isinstance(node, ast.Name) and "_" in node.id:
            return True
        if isinstance(node, ast.Compare) and not all(
            isinstance(side, ast.Name) for side in (node.left, *node.comparators)
        ):
            return True
    return False


def _is_program_call(node: ast.Call, rows: list[bytes]) -> bool:
    """Tell a call from a word with a bracket after it ("Paris (France)") and from ``f(3)``."""
    end_row, end_column = node.func.end_lineno, node.func.end_col_offset
    if end_row is None or end_column is None:
        return False
    # Columns count bytes, and a space before the bracket is a habit of prose.
    if rows[end_row - 1][end_column : end_column + 1] != b"(":
        return False
    if isinstance(node.func, ast.Name) and node.func.id in _BUILTIN_CALLS:
        return True
    empty = not node.args and not node.keywords
    configured = bool(node.keywords) or any(map(_is_string, node.args))
    return isinstance(node.func, ast.Attribute) or empty or configured


def _is_string(node: ast.AST) -> bool:
    """Tell whether a node is a string literal."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


# --- Single lines ------------------------------------------------------------------------------

# Lines that hardly ever occur in prose, whatever the words in them.
_STRONG_LINE = re.compile(
    "|".join(
        (
            # Python and Ruby
            r"(?:async\s+)?def\s+\w+[?!]?\s*(?:\(|$)",
            r"class\s+[A-Z_]\w*(?:\s*\([^)]*\))?\s*:\s*(?:#.*)?$",
            r"class\s+[A-Z]\w*\s*\([\w., ]*$",
            r"class\s+[A-Z]\w*(?:\s*<\s*[A-Z][\w:]*)?$",
            r"from\s+\.*[\w.]*\s+import\s+[\w(*]",
            r"import\s+[\w.]+\s+as\s+\w+",
            r"import\s+\w+(?:\.\w+)+(?:\.\*)?;?$",
            r"@[\w.]+\(",
            r"@\w+\.\w+",
            r"(?:except(?:\s+[\w.()\s,]+)?|else|try|finally)\s*:\s*(?:#.*)?$",
            r"(?:self|this)\.\w+(?:\.\w+)*\s*(?:=|\()",
            r"raise\s+\w*(?:Error|Exception)\b",
            r"print\s+(?:f|r)?(?:\"[^\"]*\"|'[^']*')\s*(?:$|[%+,])",
            r">>>\s",
            r"(?:puts|require|require_relative)\s+[\"']",
            r"puts\s+[A-Z]\w*\.\w+",
            r"attr_(?:reader|writer|accessor)\s+:",
            r"@\w+\s*=\s",
            # JavaScript and TypeScript
            r"(?:export\s+)?(?:default\s+)?(?:async\s+)?function\b\s*\*?\s*\w*\s*\(",
            r"(?:export\s+)?(?:const|var)\s+[\w${}\[\],\s:<>]+=(?!=)",
            r"let\s+[\w$]+(?:\s*:\s*\w+)?\s*=\s*.*(?:;|[\"'`\[({].*)$",
            r"let\s+mut\s",
            r"import\s+.*\bfrom\s+[\"']",
            r"import\s+[\"'(]",
            r"export\s+(?:default\s+)?(?:class|interface|type|enum)\s+\w+",
            r"module\.exports\b",
            r"console\.\w+\(",
            r"document\.\w+",
            r".*=>\s*(?:\{|\($)",
            # C and its relatives
            r"#\s*include\s*[<\"]",
            r"#\s*(?:define|ifdef|ifndef|pragma|undef)\s+\w",
            r"(?:public|private|protected|internal)\s+[\w<>\[\],.? ]*(?:[\w>\]]\(|[{=;])"
            r"(?:.*[;{},()])?$",
            r"(?:public|private|protected)\s*:$",
            r"(?:static|final|abstract|extern|constexpr|inline)\s+[\w<>\[\]*,: ]*"
            r"(?:[\w>\]]\(|[{=;])(?:.*[;{},()])?$",
            r"(?:unsigned\s+)?(?:int|void|char|bool|boolean|String|size_t)(?:\[\])?\s+[*&]*\w+\s*"
            r"(?:\(|=|;|\[|,.*;)",
            r"(?:float|double|long|auto)\s+[*&]*\w+(?:\(|\[|\s*=.*;)",
            r"(?:public\s+|abstract\s+|final\s+)*(?:class|interface|enum|struct)\s+\w+[^.]*\{$",
            r"using\s+(?:namespace\s+)?[\w.:]+(?:\s*=\s*[\w.:<>]+)?;",
            r"namespace\s+[\w.:]+\s*[{;]",
            r"std::\w+",
            r"template\s*<",
            # Rust and Go
            r"(?:pub(?:\([\w ]+\))?\s+)?(?:fn|struct|enum|mod|impl|trait)\b\s*[\w<]+.*[{;(]$",
            r"(?:pub\s+)?fn\s+\w+\s*[<(]",
            r"use\s+\w+(?:::[\w{}*, ]+)+;",
            r"func\s+(?:\([^)]*\)\s*)?\w+\s*\(",
            r"package\s+(?:main|[\w.]+;)\s*$",
            r"(?:type\s+\w+\s+(?:struct|interface)\b)",
            r"\w+(?:,\s*\w+)*\s*:=\s*(?:[\"'`\[{&]|\w+[.({]|range\b)",
            r"\w+!\(",
            # Haskell, Lisp, Lua and R
            r"\w+\s*::\s*(?:.*->|[A-Z(\[])",
            r"main\s*=\s",
            r"putStrLn\s",
            r"local\s+(?:function\s|\w+\s*=)",
            r"[\w.]+\s*<-\s*\w",
            r"\((?:defun|defn|define|let|defvar|defmacro)\s",
            # SQL and Dockerfiles, in capitals unless a semicolon ends the statement
            r"SELECT\s+(?:DISTINCT\s+)?[\w*.,()\s\"]+(?:FROM\b.*)?$",
            r"(?:INSERT\s+INTO|CREATE\s+(?:OR\s+REPLACE\s+)?(?:TABLE|DATABASE|INDEX|VIEW|FUNCTION)"
            r"|ALTER\s+TABLE|DROP\s+TABLE|DELETE\s+FROM|UPDATE\s+\w+\s+SET)\s",
            r"(?:FROM|WHERE|GROUP\s+BY|ORDER\s+BY|HAVING|LIMIT|VALUES|(?:LEFT|RIGHT|INNER)\s+JOIN"
            r"|JOIN|UNION|SET)\s+(?!(?:an?|are|i|is|it|my|that|the|this|to|we|you|your)\b)[\d(a-z'\"]",
            r"select\s(?:.*[\s,(])?(?:\*|\w+\([^)]*\)|\w+[._]\w+)(?:\s+as\s+\w+)?(?:,|$|\s+from\b)",
            r"(?:group|order)\s+by\s+[\w.]+(?:\s+(?:asc|desc))?[;,]?$",
            r"(?i:select\s.+\sfrom\s.+;)$",
            r"(?i:(?:insert\s+into|create\s+table|delete\s+from)\s+\w+.*[;(])$",
            r"\w+\s+(?:INTEGER|INT|TEXT|SERIAL|BOOLEAN|TIMESTAMP|VARCHAR\(\d+\))\b.*,?$",
            r"(?:RUN\s+(?:apk|apt|cd|mkdir|npm|pip|python|useradd|yarn)|COPY\s+\S+\s+\S+$|WORKDIR\s+/"
            r"|(?:CMD|ENTRYPOINT)\s+\[|EXPOSE\s+\d|ENV\s+\w+=)",
            # HTML, CSS and PHP
            r"<(?i:!doctype|!--)",
            r"</?(?i:html|head|body|title|meta|link|script|style|div|span|p|h[1-6]|ul|ol|li|table"
            r"|thead|tbody|tr|td|th|form|input|button|label|select|option|textarea|img|a|nav|main"
            r"|header|footer|section|article|template|svg|canvas)\b[^<>]*/?>",
            r"(?:[.#]?[a-z][\w-]*|\*|:root)(?:[\s>+~,:.#]+[\w-]+)*(?:::?[a-z-]+)?\s*\{$",
            r"(?:color|margin|padding|border|background|display|width|height|position|cursor|opacity"
            r"|overflow|transition|transform|top|left|gap|(?:font|text|max|min|margin|padding|border"
            r"|background|align|justify|box|flex|grid|line|z)-[a-z-]+)\s*:\s*[^;]+;$",
            r"[\w.#*:>@][^{}]*\{\s*[a-z-]+\s*:[^{}]*[;}]$",
            r"@(?:media|import|keyframes|font-face)\b",
            r"<\?(?:php|=|xml)",
            r"\$\w+(?:->\w+|\[[^\]]*\])*\s*[.+]?=",
            # Shells
            r"#!\s*/",
            r"\$\s(?:\w|\./)",
            r"(?:sudo\s+)?(?:apt|apt-get|brew|cargo|conda|docker|git|helm|kubectl|npm|npx|pip|pip3"
            r"|pnpm|poetry|uv|yarn)\s+(?:add|apply|build|clone|commit|compose|create|exec|init"
            r"|install|new|pull|push|run|start|test|update|upgrade|i|-\w+|--[\w-]+)\b",
            r"(?:cd|mkdir|rm|cp|mv|ls|chmod|chown|curl|wget|tar|ssh|cat|touch|grep|sed|source|sudo)"
            r"\s+(?:-\w|[\w-]*[~./$]\w|\.\.$)",
            r"(?:python3?|node|bash|sh|ruby)\s+(?:-m\s|[\w./-]+\.\w+$)",
            r"(?:export\s+)?[A-Z_]{2,}=[\w$\"'/~.({-]*",
            r"exit\s+(?:\d{1,3}|[$\"].*)$",
            r"echo\s+(?:\"[^\"]*\"|'[^']*'|\$\w+)\s*(?:;|$|[>|&])",
            r"echo\s+[\"'$].*;$",
            r"if\s+\[+\s",
            r"(?:for\s+\w+\s+in\s.*|while\s+.*|if\s+.*\]);\s*(?:do|then)$",
            r"(?:fi|done|esac|then|endif|elif\s+\[.*)$",
            r"read\s+-\w+\s",
            # Perl
            r"(?:my|our)\s*\(?[$@%]\w",
            r"use\s+(?:strict|warnings)\b.*;",
            r"sub\s+\w+\s*\{",
        )
    )
)

# Lines that look like code unless they read as a sentence.
_LIKELY_LINE = re.compile(
    "|".join(
        (
            r"[\w.\[\]\"'$]+\s*(?:[-+*/%|&]?=|:=)(?!=)\s*.*[\[({,\\]$",
            r"[A-Za-z_$][\w.]*\.[A-Za-z_]\w*\(",
            r"[a-z_]\w*\($",
            r"[a-z_]\w*\(.*[\"'=+(].*\)$",
            r"(?:if|elif|while|for|with|switch)\b.*[\[(=<>].*[:{]$",
            r"(?:\}\s*)?(?:else\s+if|else|catch|finally|do)\b.*\{$",
            r"(?:return|throw|raise|yield|await|break|continue)\b.*;$",
            r"(?:return|raise|yield)\b.*[\"'(\[{=.+*/].*$",
            r"case\s.*:$",
            r"[\w.\[\]\"']+\s*(?:=|\+=|-=)\s*[\w.]*[\[({\"'].*$",
            r"[^\\].*\)\s*\{$",
            r"(?=.*[\[\](){}=<>])[^\\].*;$",
        )
    )
)
LIST_OR_TABLE = re.compile(r"(?:[-*+\u2022]\s|\d{1,3}[.)]\s|\||\*\*)")
_COMMENT = re.compile(r"#|//|/\*|\*/|--\s|<!--|%\s|;;|REM\s|[bfru]{0,2}(?:\"{3}|'{3})")
_TRAILING_COMMENT = re.compile(r"(?<=\S) (?:#|//) [^\"']*$")
_ENTRY = re.compile(
    r"[\[\](){},;:\s.]+|(?i:begin|else|end)[);,.]*|return(?: \w+)?|pass|break|continue"
    r"|[\[({]*(?:[rfbu]?\"[^\"]*\"|[rfbu]?'[^']*'|0x\w+|[-\d.]+)\s*[\])},:].*"
    r"|[\[({]*[rfbu]?(?:\"[^\"]*\"?|'[^']*'?)\s*[\])},;]*|\w+:\s*[\"'\[{].*|[\w.]+,"
)
# The last alternative is a string that was not closed, as the first argument of a call.
_STRING = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|(?<=\w\()[\"'][^\"']*$")
_WORD = re.compile(r"[(\"'*_]*[^\W\d_]+(?:['-][^\W\d_]+)*[.,;:!?)\"'*_]*")
_STOP_WORD = re.compile(
    r"a|an|and|are|be|but|can|has|have|he|her|his|i|it|its|me|my|of|on|our|"
    r"she|so|that|the|their|they|this|to|was|we|were|will|would|you|your"
)
_LINE_END = 100
# Characters of a line that are read: what a line is shows long before, and one of a whole answer's
# length would cost more time than all else.
_LINE_READ = 1000
_BLOCK_OPENER = re.compile(r"(?:if|while|for|with|async|match)\b(?:.*:$|.*[(\[=<>].*[^:{;]$)")


def _mark_lines(lines: list[str]) -> list[_Mark]:
    """Mark every line, keeping track of strings, comments and pages that span lines."""
    marks: list[_Mark] = []
    closer = ""
    for raw in lines:
        line = " ".join(raw[:_LINE_READ].split())
        if closer:
            marks.append(_Mark.CODE if closer.startswith("<") else _Mark.FOLLOWS)
            closer = "" if closer in line.lower() else closer
        else:
            mark = _mark_line(line)
            marks.append(mark)
            # A sentence may name a tag or a comment sign without opening anything.
            closer = "" if mark is _Mark.PROSE else _left_open(line.lower())
    return marks


def _left_open(line: str) -> str:
    """Return what would close the string, comment or page that a line leaves open, if any."""
    for quotes in ('"""', "'''"):
        if line.count(quotes) % 2:
            return quotes
    for opener, closer in (("/*", "*/"), ("<html", "</html"), ("<script", "</script")):
        if line.startswith(opener) and closer not in line:
            return closer
    return ""


@functools.lru_cache(maxsize=4096)
def _mark_line(line: str) -> _Mark:
    """Mark one line whose words are one space apart."""
    line = _TRAILING_COMMENT.sub("", line)
    # The ends of a very long line tell what it is; its middle would only cost time.
    ends = line if len(line) <= 2 * _LINE_END else line[:_LINE_END] + line[-_LINE_END:]
    if _STRONG_LINE.match(ends):
        return _Mark.CODE
    if LIST_OR_TABLE.match(ends):
        return _Mark.PROSE
    if _COMMENT.match(ends) or _ENTRY.fullmatch(ends):
        return _Mark.FOLLOWS
    statement = re.sub(r"^elif\b", "if", line)
    if _BLOCK_OPENER.match(statement):
        # A forgotten colon is a common slip, but without one only signs set code apart from verse.
        statement += " pass" if line.endswith(":") else ": pass"
    tree = _parse(statement)
    if tree is not None:
        return _Mark.CODE if _is_program(tree, statement) else _Mark.UNCLEAR
    if _reads_as_sentence(line):
        return _Mark.PROSE
    return _Mark.CODE if _LIKELY_LINE.match(ends) else _Mark.UNCLEAR


def _reads_as_sentence(line: str) -> bool:
    """Tell whether most of a line, outside string literals, is plain words."""
    tokens = _STRING.sub("", line).split()
    words = [token for token in tokens if _WORD.fullmatch(token)]
    common = sum(
        _STOP_WORD.fullmatch(word.strip("(\"'*_.,;:!?)").lower()) is not None for word in words
    )
    return len(words) >= 0.7 * len(tokens) and (len(words) >= 4 or (len(words) >= 3 and common > 1))
