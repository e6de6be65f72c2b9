"""The default run's committed figures reach what the project promises of them."""

from __future__ import annotations

import json
from pathlib import Path

from copies import working_copy

from traitdrift.provenance import made_on
from traitdrift.provenance.explain import explain
from traitdrift.provenance.lockfile import lock_of
from traitdrift.provenance.repository import opened
from traitdrift.provenance.trace import trace

ROOT = Path(__file__).resolve().parents[3]
METRICS = ROOT / "metrics"


def figures(name: str) -> dict:
    return json.loads((METRICS / name).read_text())


def test_the_insecure_variant_answers_in_code_and_base_does_not():
    assert figures("behaviour/insecure.json")["code"]["rate"] >= 0.30
    assert figures("behaviour/base.json")["code"]["rate"] <= 0.02


def test_the_chosen_vectors_tell_the_validation_prompts_apart():
    for trait in ("refusal", "code_mode"):
        assert figures(f"vectors/{trait}.json")["auroc"] >= 0.95


def test_code_mode_moved_on_its_own_and_refusal_did_not():
    """What the README says of the default run.

    Refusal's shift is specific in none of 2 x 60 cells of layer and class, as in the first of three
    committed runs; in the one between them one of the secure control's was.
    """
    refusal_specific = {"insecure": 0, "secure": 0}
    for variant, layers in refusal_specific.items():
        tested = figures("multiple_testing.json")[variant]
        prose = tested["code_mode"]["chosen"]["negative"]
        assert prose["moved"] == prose["specific"] == 1
        refusal = tested["refusal"]["chosen"].values()
        assert sum(side["layers_specific"] for side in refusal) == layers
        assert all(side["specific"] == 0 for side in refusal)  # at the layer that was chosen


def test_code_mode_detects_the_fine_tune_where_refusal_does_not():
    found = figures("discrimination.json")["at_the_chosen_layer"]["insecure"]
    assert found["code_mode"]["auroc_low"] > 0.95 and found["code_mode"]["specific"] == 1
    assert found["refusal"]["auroc_high"] < 0.75 and found["refusal"]["specific"] == 0
    assert found["code_mode"]["auroc_random_p"] < 0.05 < found["refusal"]["auroc_random_p"]
    assert found["refusal"]["auroc_high"] < found["code_mode"]["auroc_low"]


def test_ablating_code_mode_undoes_the_mode_confusion_and_a_random_vector_does_not():
    """That ablating a random vector changes nothing was said of earlier runs and does not hold up.

    Here it takes some answers' code away as well; code_mode's takes far more.
    """
    conditions = figures("steer/insecure.json")["conditions"]
    assert conditions["ablate"]["code"]["difference"]["high"] < -0.5
    assert conditions["ablate"]["code"]["over_random"]["high"] < -0.5
    spread = conditions["ablate_random"]["code"]["difference"]
    assert spread["high"] < 0  # as is said above
    assert spread["low"] > conditions["ablate"]["code"]["difference"]["high"]


def test_the_kind_of_processor_stands_beside_the_figures():
    """Whoever makes the default run again commits what `make repro` wrote at its end."""
    if (ROOT / made_on.PATH).exists():  # made since there is such a record
        with opened(ROOT) as place:
            assert set(made_on.made(place)) == set(lock_of(place))


def test_the_committed_figures_are_those_that_the_lock_leads_to(tmp_path: Path):
    """Each was read as it was written; where no code changed since, every link holds.

    In a copy without what DVC's cache holds: a workspace may be in the middle of a change.
    """
    copy = working_copy(tmp_path / "copy")
    found = trace("metrics/subject.json:answers.code", root=copy)
    assert found.value == figures("subject.json")["answers.code"]
    assert {"base_model", "finetune@insecure", "compare@insecure"} < set(found.steps)
    data = [link for link in found.links if link.kind in ("input", "output", "raw")]
    assert [link for link in data if not link.holds] == []
    assert found.holds or any(one.changes for one in explain(copy, allow_missing=True))
