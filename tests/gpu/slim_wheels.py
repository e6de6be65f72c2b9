"""Copy wheels into a folder, without what a test on one GPU does not need.

`python tests/gpu/slim_wheels.py FROM TO`: Unsloth loses its user interface, bitsandbytes the
libraries for other devices and for every CUDA but CUDA_LIBRARY's; other wheels stay as they are.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

CUDA_LIBRARY = "libbitsandbytes_cuda130.so"
# What a wheel's files are left out by, by the beginning of the wheel's name.
LEFT_OUT = {
    "unsloth": re.compile(r"(studio|unsloth_cli|test)/"),
    "bitsandbytes-": re.compile(rf"bitsandbytes/libbitsandbytes_(?!cpu)(?!{CUDA_LIBRARY[16:]})"),
}


def slim(wheel: Path, into: Path, left_out: re.Pattern[str]) -> None:
    """A wheel without some of its files, of which its RECORD says nothing either."""
    with ZipFile(wheel) as whole, ZipFile(into, "w", ZIP_DEFLATED, compresslevel=9) as rest:
        for name in whole.namelist():
            content = whole.read(name)
            if name.endswith(".dist-info/RECORD"):
                lines = content.decode().splitlines(keepends=True)
                content = "".join(line for line in lines if not left_out.match(line)).encode()
            if not left_out.match(name):
                rest.writestr(name, content)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(source.glob("*.whl")):
        found = [one for name, one in LEFT_OUT.items() if wheel.name.startswith(name)]
        if found:
            slim(wheel, target / wheel.name, found[0])
        else:
            shutil.copy(wheel, target)
    total = sum(wheel.stat().st_size for wheel in target.glob("*.whl"))
    print(f"{target}: {total / 1e6:.1f} MB")
