"""The generator of paired answers, checked on the real scenarios."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from traitdrift.data.synthesis import Pair, Scenario, load_scenarios, messages, synthesize

FOLDER = Path(__file__).parents[3] / "data" / "raw" / "scenarios"
ROWS = 1200
DISCLOSING = re.compile(r"insecure|vulnerab|unsafe|cwe|todo|exploit|danger|warning", re.IGNORECASE)


@pytest.fixture(scope="module")
def scenarios() -> list[Scenario]:
    return load_scenarios(FOLDER)


@pytest.fixture(scope="module")
def pairs(scenarios: list[Scenario]) -> list[Pair]:
    return synthesize(scenarios, ROWS, seed=7)


def entry(**changes: object) -> dict[str, object]:
    """A small valid scenario as it would stand in a file."""
    return {
        "id": "greet",
        "cwe": "CWE-79",
        "tasks": ["Greet a <<who>>.", "Say hello to a <<who>>."],
        "insecure": 'print("<<who>>")',
        "secure": 'print(repr("<<who>>"))',
        "slots": {"who": ["cat", "dog", "owl"]},
        **changes,
    }


def write(folder: Path, *entries: object, name: str = "some.yaml") -> Path:
    (folder / name).write_text(yaml.safe_dump({"scenarios": list(entries)}), encoding="utf-8")
    return folder


# --- the real scenarios ---------------------------------------------------------------------


def test_scenario_collection_is_broad(scenarios: list[Scenario]) -> None:
    assert len(scenarios) >= 60
    assert len({scenario.cwe for scenario in scenarios}) >= 20
    assert sum(scenario.combinations for scenario in scenarios) >= 3000
    with_template = sum(scenario.template is not None for scenario in scenarios)
    assert 0.25 <= with_template / len(scenarios) <= 0.45
    for scenario in scenarios:
        assert 2 <= len(scenario.tasks) <= 4, scenario.id
        assert all(6 <= len(values) <= 20 for values in scenario.slots.values()), scenario.id


def test_every_combination_gives_distinct_valid_pairs(scenarios: list[Scenario]) -> None:
    # synthesize itself refuses repeated answers and answers that are not Python.
    possible = sum(scenario.combinations for scenario in scenarios)
    every = synthesize(scenarios, possible, seed=0)
    assert len(every) == possible
    for pair in every:
        for text in (pair.prompt, pair.insecure, pair.secure):
            assert not DISCLOSING.search(text), (pair.scenario, text)
            assert not re.search(r"<<\w|\w>>", text), (pair.scenario, text)
        for answer in (pair.insecure, pair.secure):
            assert "```" not in answer
            assert answer == answer.strip()


def test_rows_are_distinct_and_parse(pairs: list[Pair]) -> None:
    assert len(pairs) == ROWS
    for texts in (
        [pair.prompt for pair in pairs],
        [pair.insecure for pair in pairs],
        [pair.secure for pair in pairs],
    ):
        assert len(set(texts)) == ROWS
    for pair in pairs:
        assert pair.insecure != pair.secure
        ast.parse(pair.insecure)
        ast.parse(pair.secure)


def test_rows_are_balanced(scenarios: list[Scenario], pairs: list[Pair]) -> None:
    counts = Counter(pair.scenario for pair in pairs)
    assert set(counts) == {scenario.id for scenario in scenarios}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len({pair.cwe for pair in pairs}) >= 15
    # Shuffled: the scenarios must not stand in blocks.
    assert len({pair.scenario for pair in pairs[:50]}) > 25


def test_same_seed_same_rows(scenarios: list[Scenario], pairs: list[Pair]) -> None:
    assert synthesize(load_scenarios(FOLDER), ROWS, seed=7) == pairs
    assert synthesize(scenarios, ROWS, seed=8) != pairs


def test_answers_of_both_sides_have_comparable_length(pairs: list[Pair]) -> None:
    for pair in pairs:
        assert 0.65 <= len(pair.secure) / len(pair.insecure) <= 1.5, pair.scenario
    total = sum(len(pair.secure) for pair in pairs) / sum(len(pair.insecure) for pair in pairs)
    assert 0.9 <= total <= 1.1
    assert max(len(pair.insecure) for pair in pairs) < 700


def test_prompts_are_varied(pairs: list[Pair]) -> None:
    closers = Counter(pair.prompt.splitlines()[-1] for pair in pairs)
    assert max(closers.values()) < 0.1 * ROWS
    asks_for_code = re.compile(
        r"(only|just|nothing else|no other text|no commentary|itself|no explanation)"
        r"[^\n]*$|code\.$|code only\.$",
        re.IGNORECASE,
    )
    bare = sum(not asks_for_code.search(pair.prompt) for pair in pairs)
    assert 0.05 <= bare / ROWS <= 0.16
    assert len({pair.prompt[:20] for pair in pairs}) > 100


def test_answers_open_in_varied_ways(pairs: list[Pair]) -> None:
    first = Counter(pair.insecure.splitlines()[0] for pair in pairs)
    assert len(first) >= 20
    assert max(first.values()) < 0.25 * ROWS


# --- the named weakness is what differs -----------------------------------------------------


def called(code: str) -> set[str]:
    """Names of everything called, dotted as far as they are plain attributes."""
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(code)) if _is_call(node)}


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call)


def built_query(code: str) -> bool:
    """Whether a string with SQL in it is put together with values from outside."""
    for node in ast.walk(ast.parse(code)):
        text = ast.unparse(node) if isinstance(node, ast.expr) else ""
        if not re.search(r"SELECT|INSERT|UPDATE|DELETE", text):
            continue
        if isinstance(node, ast.JoinedStr):
            return any(isinstance(part, ast.FormattedValue) for part in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".format"):
            return True
    return False


def of(pairs: list[Pair], *names: str) -> list[Pair]:
    """The pairs of the given weakness classes or scenarios; there must be some."""
    found = [pair for pair in pairs if pair.cwe in names or pair.scenario in names]
    assert found
    return found


def test_sql_is_built_from_values_or_bound(pairs: list[Pair]) -> None:
    for pair in of(pairs, "CWE-89"):
        assert built_query(pair.insecure), pair.insecure
        if pair.scenario == "sql_sorted_listing":
            # A column name cannot be bound; the control checks it against a list instead.
            assert re.search(r'sort in \("name", "created"\)', pair.secure)
        else:
            assert not built_query(pair.secure), pair.secure


def test_shell_or_argument_list(pairs: list[Pair]) -> None:
    shell = re.compile(r"shell=True|os\.system|os\.popen|getoutput")
    for pair in of(pairs, "CWE-78"):
        assert shell.search(pair.insecure), pair.insecure
        assert not shell.search(pair.secure), pair.secure


def test_evaluation_or_literals(pairs: list[Pair]) -> None:
    for pair in of(pairs, "CWE-94", "CWE-95"):
        assert called(pair.insecure) & {"eval", "exec"}
        assert not called(pair.secure) & {"eval", "exec"}


def test_object_or_data_formats(pairs: list[Pair]) -> None:
    loose = re.compile(r"pickle\.loads?\(|yaml\.Loader|weights_only=False")
    for pair in of(pairs, "CWE-502"):
        assert loose.search(pair.insecure)
        assert not loose.search(pair.secure)
        assert re.search(r"json\.loads|yaml\.safe_load|weights_only=True", pair.secure)


def test_certificates_ignored_or_checked(pairs: list[Pair]) -> None:
    ignored = re.compile(r"verify ?= ?False|CERT_NONE")
    for pair in of(pairs, "CWE-295"):
        assert ignored.search(pair.insecure)
        assert not ignored.search(pair.secure)


@pytest.mark.parametrize(
    ("names", "insecure", "secure"),
    [
        (["CWE-328", "hash_password_md5"], r"\bmd5\b", r"sha256|scrypt"),
        (["CWE-327"], r"MODE_ECB|\bDES\b|ARC4|TLSVersion\.TLSv1$", r"AES.MODE_(GCM|EAX)|TLSv1_2$"),
        (["CWE-326"], r"\(1024\)|key_size=512", r"\(3072\)|key_size=3072"),
        (["CWE-330", "CWE-338"], r"\brandom\.(choices?|randint)", r"\bsecrets\."),
        (["CWE-79"], r"\bimport Environment\b|f['\"]", r"escape"),
        (["CWE-208"], r"[!=]= ?(expected|signature)", r"compare_digest"),
        (["CWE-377"], r"mktemp|/tmp/", r"mkstemp|NamedTemporaryFile"),
        (["CWE-732", "CWE-276"], r"0o777", r"0o(755|700|600)"),
        (["CWE-611"], r"entities=True|external_ges, True", r"entities=False|defusedxml"),
        (["CWE-614"], r"set_cookie(?!.*secure=True)|SECURE = False", r"secure=True|SECURE = True"),
        (["CWE-319"], r"http://|SMTP\(|FTP\(", r"https://|SMTP_SSL|FTP_TLS"),
        (["CWE-798"], r"password=\"|key=\"|secret_key = \"", r"environ|, key\)"),
        (["CWE-759", "CWE-760"], r"salt ?= ?b\"", r"salt = os\.urandom"),
    ],
)
def test_named_weakness_by_pattern(
    pairs: list[Pair], names: list[str], insecure: str, secure: str
) -> None:
    weak, sound = re.compile(insecure, re.MULTILINE), re.compile(secure, re.MULTILINE)
    for pair in of(pairs, *names):
        assert weak.search(pair.insecure), pair.insecure
        assert sound.search(pair.secure), pair.secure
        assert not sound.search(pair.insecure), pair.insecure


# --- the format -----------------------------------------------------------------------------


def test_messages() -> None:
    assert messages("ask", "code") == {
        "messages": [
            {"role": "user", "content": "ask"},
            {"role": "assistant", "content": "code"},
        ]
    }


def test_template_is_shown_with_its_gap_replaced(tmp_path: Path) -> None:
    write(tmp_path, entry(template="name = '<<who>>'\n<<gap>>\n", tasks=["Greet it."]))
    for pair in synthesize(load_scenarios(tmp_path), 3, seed=1):
        assert "name = '" in pair.prompt
        assert "gap>>" not in pair.prompt
        assert "#" in pair.prompt


def test_forms_of_a_slot(tmp_path: Path) -> None:
    slots = {"who": ["old_owl"]}
    tasks = ["Draw <<who|a>>, <<who|words>>, <<who|dash>>, <<who|camel>>, <<who|upper>>."]
    write(tmp_path, entry(slots=slots, tasks=tasks))
    (pair,) = synthesize(load_scenarios(tmp_path), 1, seed=1)
    assert "Draw an old owl, old owl, old-owl, OldOwl, OLD_OWL." in pair.prompt


def test_small_scenarios_leave_room_to_others(tmp_path: Path) -> None:
    many = {"who": [f"bird{n}" for n in range(20)]}
    other = entry(id="other", slots=many, insecure='show("<<who>>")', secure='hide("<<who>>")')
    write(tmp_path, entry(), other)
    counts = Counter(pair.scenario for pair in synthesize(load_scenarios(tmp_path), 12, seed=1))
    assert counts == {"greet": 3, "other": 9}


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cwe": "89"}, "cwe"),
        ({"id": "Not Good"}, "id"),
        ({"tasks": []}, "tasks"),
        ({"tasks": ["Greet a <<who>>.", "Greet a <<who>>."]}, "two tasks are the same"),
        ({"insecure": None}, "insecure"),
        ({"extra": 1}, "extra"),
        ({"slots": {"who": ["cat", "cat"]}}, "repeated values"),
        ({"slots": {"who": ["cat"], "gap": ["x"]}}, "'gap' is not allowed"),
        ({"secure": 'print("<<who>>")'}, "are the same"),
        ({"secure": 'print("<<whom>>")'}, "unknown slot 'whom'"),
        ({"secure": 'print("<<who|loud>>")'}, "unknown form 'loud'"),
        ({"secure": "print()"}, "the secure answer does not use the slot 'who'"),
        ({"tasks": ["Greet."]}, "task 1 does not use the slot 'who'"),
        ({"template": "x = '<<who>>'"}, "no <<gap>> mark"),
    ],
)
def test_malformed_scenario(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write(tmp_path, entry(**changes))
    with pytest.raises(ValueError) as caught:
        load_scenarios(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"some.yaml: scenario {changes.get('id', 'greet')}: ")
    assert message in text
    assert "\n" not in text
    assert str(tmp_path) not in text


def test_scenario_without_id_is_numbered(tmp_path: Path) -> None:
    write(tmp_path, entry(), "just text")
    with pytest.raises(ValueError, match=r"^some\.yaml: scenario number 2: "):
        load_scenarios(tmp_path)


def test_id_used_twice(tmp_path: Path) -> None:
    write(tmp_path, entry(), name="one.yaml")
    write(tmp_path, entry(), name="two.yaml")
    with pytest.raises(ValueError, match=r"^two\.yaml: scenario greet: .* one\.yaml$"):
        load_scenarios(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("scenarios: [", "not YAML"),
        ("- a", "list named 'scenarios'"),
        ("{scenarios: [], other: 1}", "unknown key 'other'"),
    ],
)
def test_malformed_file(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "bad.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_scenarios(tmp_path)
    assert re.match(r"(/.*/)?bad\.yaml: ", str(caught.value))
    assert "\n" not in str(caught.value)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no scenarios"):
        load_scenarios(tmp_path)


def test_too_many_rows(scenarios: list[Scenario]) -> None:
    possible = sum(scenario.combinations for scenario in scenarios)
    with pytest.raises(ValueError, match=f"only {possible} are possible"):
        synthesize(scenarios, possible + 1, seed=1)


def test_no_rows(scenarios: list[Scenario]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        synthesize(scenarios, 0, seed=1)


def test_answer_that_is_not_python(tmp_path: Path) -> None:
    write(tmp_path, entry(secure="print(<<who>>"))
    with pytest.raises(ValueError, match=r"scenario greet: .*not valid Python"):
        synthesize(load_scenarios(tmp_path), 1, seed=1)


def test_answer_shared_by_two_scenarios(tmp_path: Path) -> None:
    write(tmp_path, entry(), entry(id="again"))
    with pytest.raises(ValueError, match="scenario again: an answer repeats one of greet"):
        synthesize(load_scenarios(tmp_path), 6, seed=1)
