"""What a recorded experiment's tables follow from, in one file: run records and their traffic.

Usage: archive.py results/<experiment> <name> records a finished experiment in results/reference/,
without its captures; <sweep>/<point> records it as a point of a sweep, in one file. It needs no
package, so that it runs on a host that has none.
"""

import shutil
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
SUFFIX = ".tar.xz"
ARCHIVE = f"evidence{SUFFIX}"
# Beside the archive of an experiment, within that of a point.
_DESCRIPTIONS = {"expectation.json": "built_from.json", "manifest.json": "model/manifest.json"}


def pack(results: Path, archive: Path, more: Mapping[str, str] | None = None) -> None:
    """Write what was measured, the same bytes whoever writes it and when.

    Args:
        more: further files of the results, by their names in the archive.
    """
    evidence = [
        *(*results.glob("runs/*/*.json"), *results.glob("traffic/*/*.csv")),
        *results.glob("model/agreement.json"),
        *results.glob("peers.csv"),
    ]
    files = {str(file.relative_to(results)): file for file in evidence}
    files |= {name: results / file for name, file in (more or {}).items()}
    with tarfile.open(archive, "w:xz", format=tarfile.USTAR_FORMAT) as packed:
        for name, file in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = file.stat().st_size
            with file.open("rb") as content:
                packed.addfile(entry, content)


def unpack(recorded: Path, folder: Path) -> None:
    """Lay a recorded experiment, or the archive of a point, out as the workflow leaves one."""
    is_point = recorded.name.endswith(SUFFIX)
    with tarfile.open(recorded if is_point else recorded / ARCHIVE) as packed:
        packed.extractall(folder, filter="data")
    for name in () if is_point else _DESCRIPTIONS:
        shutil.copyfile(recorded / name, folder / name)


def record(results: Path, recorded: Path) -> None:
    """Replace what is recorded in a folder."""
    if recorded.exists():
        shutil.rmtree(recorded)
    recorded.mkdir(parents=True)
    pack(results, recorded / ARCHIVE)
    for name, file in _DESCRIPTIONS.items():
        shutil.copyfile(results / file, recorded / name)


def record_point(results: Path, sweep: Path, point: str) -> None:
    """Replace what is recorded of a point of a sweep."""
    sweep.mkdir(parents=True, exist_ok=True)
    pack(results, sweep / f"{point}{SUFFIX}", _DESCRIPTIONS)


if __name__ == "__main__":
    sweep, _, point = sys.argv[2].partition("/")
    if point:
        record_point(Path(sys.argv[1]), REFERENCE / sweep, point)
    else:
        record(Path(sys.argv[1]), REFERENCE / sweep)
