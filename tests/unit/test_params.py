from __future__ import annotations

from pathlib import Path

import pytest
from copies import set_params

from traitdrift.params import read

FILE = {"file": "x.jsonl", "render": "clean"}
ENDPOINT = {
    **{"backend": "endpoint", "url": "http://localhost:8000/v1", "source": "x.yaml"},
    **{"samples": 1, "temperature": 1.0, "max_tokens": 9, "seed": 0},
}
ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_file_is_right_and_small_numbers_are_numbers():
    params = read(ROOT / "params.yaml")
    assert params.recipes["study"].learning_rate == 1e-5
    assert params.recipes["study"].max_steps is None
    assert params.recipes["quick"].checkpoints is None


def changed(tmp_path: Path, key: str, value: object) -> Path:
    file = tmp_path / "params.yaml"
    if value is None:
        set_params(file, {}, remove=(key,))
    else:
        set_params(file, {key: value})
    return file


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("colour", "red", "colour: unknown key"),
        ("vectors.probe.gamma", 1, "vectors.probe.gamma: unknown key"),
        ("recipes.quick.learning_rate", "fast", "recipes.quick.learning_rate: 'fast': "),
        ("recipes.quick.lora.r", 0, "recipes.quick.lora.r: 0: "),
        ("recipes.quick.lora.alpha", 1e-300, "recipes.quick.lora.alpha: 1e-300: "),
        ("recipes.quick.lora.alpha", 1e7, "recipes.quick.lora.alpha: 10000000.0: "),
        (f"hub.{'x' * 300}", {"id": "owner/name"}, "at most 100 characters"),
        ("recipes.quick.batch_size", 2.5, "recipes.quick.batch_size: 2.5: "),
        ("recipes.quick.group_by_length", "yes", "recipes.quick.group_by_length: 'yes': "),
        ("recipes.quick.checkpoints", 0, "recipes.quick.checkpoints: 0: "),
        (
            "recipes.quick.checkpoints",
            60,
            "recipes.quick.checkpoints: 60 adapters in 48 steps; ask for at most 48",
        ),
        ("vectors.folds", None, "vectors.folds: missing"),
        ("vectors.methods", ["mean"], "'mean_diff'"),
        ("capture.positions", ["last"], "capture.positions.0: 'last': "),
        ("models.smollm2.source", "ftp", "wheel"),
        ("models.smollm2.sha256", "abc", "models.smollm2.sha256: 'abc': "),
        ("datasets.Insecure", {"file": "x", "render": "clean"}, "Insecure"),
        ("model", "gpt", "model: 'gpt' is not one of qwen_0_5b"),
        ("recipe", "fast", "recipe: 'fast' is not one of"),
        ("subject", "nobody", "subject: 'nobody' is not one of base, insecure, secure"),
        ("variants", ["base", "other"], "variants: 'other' is not one of"),
        ("variants", ["insecure", "secure"], "'base' is missing"),
        (
            "variants",
            ["base", "insecure", "secure", "secure"],
            "variants: 'secure' is listed twice",
        ),
        ("drawn", ["insecure", "secure"], "drawn: 'base' is missing"),
        ("drawn", ["base", "insecure", "secure", "base"], "drawn: 'base' is listed twice; remove"),
        ("drawn", ["base", "other"], "drawn: 'other' is not one of base, insecure, secure"),
        ("drawn", ["base", "insecure"], "drawn: 'secure' is missing; every one of `variants` is"),
        ("control", "base", "control: 'base' is not one of insecure, secure"),
        ("control", "other", "control: 'other' is not one of insecure, secure"),
        ("finetunes.other", {"dataset": "secure"}, "finetunes.other: the data set and the seeds"),
        (
            "finetunes.other",
            {"dataset": "secure", "seed": 0, "order_seed": 0},
            "finetunes.other: the data set and the seeds of secure; give it another seed",
        ),
        ("finetunes.insecure.seeds", [0, 0], "finetunes.insecure.seeds: unknown key"),
        ("imported.x", {"source": "path", "id": "x", "seed": 1}, "imported.x.seed: unknown key"),
        ("finetunes.insecure.dataset", "none", "finetunes.insecure.dataset: 'none'"),
        ("imported.insecure", {"source": "path", "id": "x"}, "names two variants"),
        ("trajectories", ["insecure"], "'insecure' has no checkpoints; set recipes.quick.check"),
        ("trajectories", ["base"], "trajectories: 'base' is not one of insecure, secure"),
        ("trajectory.samples", 0, "trajectory.samples: 0: "),
        ("compare.study_position", "response_first_9", "compare.study_position"),
        ("steer.position", "response_first_9", "steer.position: 'response_first_9' is not one of"),
        ("steer.coefficients", [0.5, 0], "steer.coefficients: 0.0: each stands once, and 0 is"),
        ("steer.coefficients", [-1, 2, -1.0], "steer.coefficients: -1.0: each stands once"),
        ("steer.coefficients", [float("inf")], "steer.coefficients.0: inf: "),
        ("respond_questions.backend", None, "respond_questions: "),
        ("respond_questions.url", "http://x/v1", "respond_questions.url: unknown key"),
        ("respond_questions", {**ENDPOINT, "url": "x"}, "respond_questions.url: 'x': "),
        (
            "respond_questions",
            {**ENDPOINT, "models": {"nobody": "x"}},
            "respond_questions.models: 'nobody' is not one of base",
        ),
        ("steer.layer", -1, "steer.layer: -1: "),
        ("models.smollm2.id", "-r==x", "models.smollm2.id: '-r==x': "),
        ("models.smollm2.id", "x==1\n", "models.smollm2.id: 'x==1\\n': "),
        ("models.qwen_7b.id", "--help/x", "models.qwen_7b.id: '--help/x': "),
        ("models.qwen_7b.revision", "-x", "models.qwen_7b.revision: '-x': "),
        ("imported.x", {"source": "hub", "id": "-r==x"}, "imported.x.id: '-r==x': "),
        ("imported.x", {"source": "hub", "id": "a/b/../../c"}, "imported.x.id: 'a/b/../../c': "),
        ("imported.x", {"source": "hub", "id": "a/b\n"}, "imported.x.id: 'a/b\\n': "),
        ("imported.x", {"source": "path", "id": "s3://b/x"}, "imported.x.id: 's3://b/x': an add"),
        ("imported.x", {"source": "ftp", "id": "x"}, "imported.x: "),
        ("datasets.secure.file", "s3://bucket/x", "datasets.secure.file: 's3://bucket/x': an add"),
        ("datasets.secure.file", "--out=x", "datasets.secure.file: '--out=x': "),
        ("recipes.quick.learning_rate", 1e300, "recipes.quick.learning_rate: 1e+300: "),
        ("datasets.secure.file", "a\nb", "datasets.secure.file: 'a\\nb': "),
        ("respond_questions.source", "http://x/y", "respond_questions.source: 'http://x/y': an ad"),
        ("datasets", {"a b; touch F": FILE}, "datasets.a b; touch F.[key]: 'a b; touch F': "),
        ("datasets", {"../x": FILE}, "datasets.../x.[key]: '../x': "),
    ],
)
def test_a_wrong_value_is_named_in_one_line(tmp_path: Path, key: str, value: object, told: str):
    path = changed(tmp_path, key, value)
    with pytest.raises(ValueError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_order_that_would_not_be_drawn_is_refused(tmp_path: Path):
    set_params(tmp_path / "params.yaml", {"recipes.quick.group_by_length": True})
    set_params(tmp_path / "params.yaml", {"finetunes.insecure.order_seed": 1})
    with pytest.raises(ValueError, match="order_seed: rows that are grouped by length"):
        read(tmp_path / "params.yaml")


@pytest.mark.parametrize("seeds", [{"seed": 1}, {"order_seed": 1}, {"seed": 0, "order_seed": 3}])
def test_a_draw_differs_in_either_seed(tmp_path: Path, seeds: dict[str, int]):
    path = changed(tmp_path, "finetunes.insecure_1", {"dataset": "insecure", **seeds})
    params = read(path)
    recipe = params.recipes["quick"]
    drawn = params.finetunes["insecure_1"].draw_of(recipe)
    assert drawn.model_dump(exclude_unset=True) == recipe.model_dump(exclude_unset=True) | seeds
    assert params.finetunes["insecure"].draw_of(recipe) == recipe


def test_a_fine_tune_whose_recipe_keeps_checkpoints_is_followed_once(tmp_path: Path):
    file = changed(tmp_path, "recipes.quick.checkpoints", 6)
    set_params(file, {"trajectories": ["insecure"]})
    assert read(file).trajectories == ["insecure"]
    set_params(file, {"trajectories": ["insecure", "insecure"]})
    with pytest.raises(ValueError, match=r"trajectories: .insecure. is listed twice; remove one$"):
        read(file)


def test_text_that_is_not_yaml_is_refused(tmp_path: Path):
    (tmp_path / "params.yaml").write_text("model: [unclosed\n")
    with pytest.raises(ValueError, match="not YAML"):
        read(tmp_path / "params.yaml")
