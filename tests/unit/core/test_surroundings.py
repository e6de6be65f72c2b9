"""Kinds of processors whose kernels sum in another order are told apart."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from commands import run

from traitdrift.core import surroundings
from traitdrift.core.surroundings import RULING, processor

INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Some CPU\nflags\t\t: fpu {}\n\n"


def kind(told: str, tmp_path: Path, monkeypatch) -> str:
    (tmp_path / "cpuinfo").write_text(told * 2)  # once a core
    monkeypatch.setattr(surroundings, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: "m")
    return processor()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (INTEL.format("avx avx2"), "m GenuineIntel avx2"),
        (INTEL.format("avx2 avx512f"), "m GenuineIntel avx2 avx512f"),
        (INTEL.format("avx2 avx512_bf16 avx512f"), "m GenuineIntel avx2 avx512f avx512_bf16"),
        (INTEL.format("amx_tile amx_bf16 avx2"), "m GenuineIntel avx2 amx_bf16"),
        (
            INTEL.replace("GenuineIntel", "AuthenticAMD").format("avx2"),
            "m AuthenticAMD avx2",
        ),
        (
            "processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\n\n",
            "m 0x41 asimd sve",
        ),
    ],
)
def test_a_kind_is_the_maker_and_the_sets_that_rule_rounding(told, expected, tmp_path, monkeypatch):
    assert kind(told, tmp_path, monkeypatch) == expected


def test_a_machine_without_cpuinfo_has_a_kind_too(tmp_path, monkeypatch):
    monkeypatch.setattr(surroundings, "CPUINFO", tmp_path / "nothing")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert processor() == "arm64 arm"


@pytest.mark.parametrize("name", RULING)
def test_what_chooses_other_kernels_is_told(name, monkeypatch):
    for each in RULING:
        monkeypatch.delenv(each, raising=False)
    before = surroundings.surroundings()
    monkeypatch.setenv(name, "x")
    assert surroundings.surroundings() == {**before, "environment": {name: "x"}}


def test_without_torch_it_is_not_loaded():
    code = (
        "import json, sys; from traitdrift.core.surroundings import surroundings;"
        "print(json.dumps([surroundings(), 'torch' in sys.modules]))"
    )
    found, loaded = json.loads(run([sys.executable, "-c", code], check=True).stdout)
    assert not loaded and "threads" not in found
    assert found["processor"] == processor() and found["versions"]["torch"]
