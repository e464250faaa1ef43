"""Write constraints.txt: what every dependency in pyproject.toml resolves to today.

    python tools/pins.py [--torch 2.13.0]

pip resolves all extras together without installing anything. PyTorch stays at the version that
constraints.txt already names unless told otherwise, because a free choice would bring gigabytes of
CUDA libraries to machines that have no use for them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = "book,judge,lab,ray,study,test"
HEADER = """\
# What fluxlens is tested with; it leads every install: pip install -c constraints.txt fluxlens,
# in a checkout with -e '.[book,test]'. Written by `make pins` from pyproject.toml, all extras
# resolved together on Python 3.11, Linux.
"""


def current_torch() -> str | None:
    """The PyTorch version that constraints.txt pins now."""
    if not CONSTRAINTS.exists():
        return None
    found = re.search(r"^torch==(\S+)$", CONSTRAINTS.read_text(), re.MULTILINE)
    return found[1] if found else None


def resolve(torch: str) -> dict[str, str]:
    """Name and version of everything that all extras need, by pip's own resolver."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--report", "-", f"torch=={torch}", "-e", f"{ROOT}[{EXTRAS}]"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    pins = {}
    for item in report["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        pins[name] = item["metadata"]["version"].partition("+")[0]  # no "+cpu": any build will do
    pins.pop("fluxlens")
    return pins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--torch", default=current_torch(), help="default: the version pinned now")
    torch = parser.parse_args().torch
    if torch is None:
        parser.error("constraints.txt names no torch; say which with --torch")
    pins = resolve(torch)
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    CONSTRAINTS.write_text(HEADER + "".join(lines))
    print(f"{CONSTRAINTS.name}: {len(pins)} pins")


if __name__ == "__main__":
    main()
