"""The whole pipeline on a tiny random model, two variants and few rows: its stages take seconds."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import tiny
from copies import set_params, working_copy

PARAMS = {
    "model": "tiny",
    "recipe": "smoke",
    "drawn": ["base", "insecure"],
    "variants": ["base", "insecure"],
    "datasets": {"insecure": {"file": "data/synthetic/insecure.jsonl", "render": "clean"}},
    "finetunes": {"insecure": {"dataset": "insecure"}},
    "recipes.smoke.max_tokens": 4096,  # bytes are the tokens
    "synthesize.rows": 40,
    "prompts.train": 12,
    "prompts.validation": 8,
    "respond_prompts.max_tokens": 6,
    "vectors.folds": 3,
    "nulls.count": 20,
    "compare.resamples": 200,
    "compare.permutations": 200,
    "respond_questions.source": "data/raw/questions/study.yaml",
    "respond_questions.samples": 1,
    "respond_questions.max_tokens": 8,
    "steer.coefficients": [1.0],
    "steer.max_tokens": 6,
    "steer_effects.resamples": 200,
}


def save_model(folder: Path) -> Path:
    """A tiny base with room for every prompt, as a folder of Hugging Face's kind."""
    model = tiny.llama()
    model.config.max_position_embeddings = 8192
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def small_run(into: Path, model: Path) -> Path:
    """A copy of this repository that would run so, with nothing made yet."""
    root = working_copy(into)
    entry = {"source": "path", "id": str(model), "dtype": "float32"}
    set_params(root / "params.yaml", {**PARAMS, "models.tiny": entry})
    (root / "dvc.lock").unlink()
    for made in ("metrics", "plots"):
        shutil.rmtree(root / made)
    # Read by stages where nothing is fine-tuned, or followed, too.
    for folder in ("plots/finetune", "plots/trajectory", "metrics/trajectory"):
        (root / folder).mkdir(parents=True)
    return root


def environment(*first: Path, **others: str) -> dict[str, str]:
    """An environment in which `python` and `dvc` are those of the tests, or found in `first`."""
    programs = [*first, Path(sys.executable).parent, os.environ["PATH"]]
    return {
        **os.environ,
        "PATH": os.pathsep.join(map(str, programs)),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        **others,
    }
