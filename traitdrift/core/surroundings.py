"""What a result's bytes depend on beside its inputs: processor, device, threads, versions.

Sums in another order round otherwise: the default run's figures are those of one kind of processor.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from traitdrift.core.files import file_digest
from traitdrift.core.ranks import world

LIBRARIES = ("torch", "transformers", "peft", "unsloth", "bitsandbytes", "numpy")
CPUINFO = Path("/proc/cpuinfo")
# Instruction sets for which torch, oneDNN, MKL or OpenBLAS sum floats by kernels of their own.
SETS = (
    *("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16"),
    *("asimd", "bf16", "sve", "sve2", "sme"),
)
# Environment variables that choose other kernels, or another order of sums.
RULING = (
    *("TRAITDRIFT_BATCH_TOKENS", "ATEN_CPU_CAPABILITY"),
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"),
    *("MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "MKL_NUM_THREADS"),
    *("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "NPY_DISABLE_CPU_FEATURES"),
)


def processor() -> str:
    """The kind of this machine's processor: its maker and the instruction sets that rule rounding.

    `x86_64 GenuineIntel avx2 avx512f amx_bf16`, say; no name of a model, which tells no more.
    """
    told = CPUINFO.read_text(errors="replace") if CPUINFO.exists() else ""
    fields = dict(re.findall(r"^([^:\n]+?)\s*: (.*)$", told, re.MULTILINE))
    maker = fields.get("vendor_id") or fields.get("CPU implementer") or platform.processor()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    kind = [platform.machine(), maker, *(name for name in SETS if name in flags)]
    return " ".join(dict.fromkeys(filter(None, kind)))


def surroundings() -> dict[str, Any]:
    """What else can change a result, by rounding at least; threads and device if torch is loaded.

    Nothing in it differs between two runs on one machine that ought to give the same bytes.
    """
    found: dict[str, Any] = {
        "processor": processor(),
        "processes": world(),
        "environment": {name: os.environ[name] for name in RULING if name in os.environ},
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES if find_spec(name)},
    }
    if torch := sys.modules.get("torch"):
        from traitdrift.core.devices import device

        where = device()
        found["device"] = where.type if where.type != "cuda" else torch.cuda.get_device_name(where)
        found["threads"] = torch.get_num_threads()
    return found


def loaded_code() -> dict[str, str]:
    """The digest of each module of the stages and the library that is loaded, by name."""
    names = sorted(name for name in sys.modules if name.split(".")[0] in ("stages", "traitdrift"))
    files = {name: getattr(sys.modules[name], "__file__", None) for name in names}
    return {name: file_digest(Path(file)) for name, file in files.items() if file}
