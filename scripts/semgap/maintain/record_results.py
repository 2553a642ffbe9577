"""Copy what a finished experiment's tables follow from to results/reference/, without captures.

Usage: record_results.py results/<experiment> <name>
"""

import shutil
import sys
from pathlib import Path

REFERENCE = Path(__file__).parents[3] / "results" / "reference"


def record(results: Path, folder: Path) -> None:
    """Replace what is recorded in ``folder``: run records, traffic, manifest, expectation."""
    if folder.exists():
        shutil.rmtree(folder)
    for pattern in ("runs/*/*.json", "traffic/*/*.csv"):
        for file in results.glob(pattern):
            target = folder / file.relative_to(results)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    shutil.copyfile(results / "model" / "manifest.json", folder / "manifest.json")
    shutil.copyfile(results / "built_from.json", folder / "expectation.json")


if __name__ == "__main__":
    record(Path(sys.argv[1]), REFERENCE / sys.argv[2])
