"""What a recorded experiment's tables follow from, in one file: run records and their traffic.

Usage: archive.py results/<experiment> <name> records a finished experiment in results/reference/,
without its captures. It needs no package, so that it runs on a host that has none.
"""

import shutil
import sys
import tarfile
from pathlib import Path

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
ARCHIVE = "evidence.tar.xz"


def pack(results: Path, archive: Path) -> None:
    """Write run records, traffic and agreement, the same bytes whoever writes them and when."""
    files = [
        *(*results.glob("runs/*/*.json"), *results.glob("traffic/*/*.csv")),
        *results.glob("model/agreement.json"),
    ]
    with tarfile.open(archive, "w:xz", format=tarfile.USTAR_FORMAT) as packed:
        for file in sorted(files):
            entry = tarfile.TarInfo(str(file.relative_to(results)))
            entry.size = file.stat().st_size
            with file.open("rb") as content:
                packed.addfile(entry, content)


def unpack(recorded: Path, folder: Path) -> None:
    """Lay a recorded experiment out as the workflow leaves one."""
    with tarfile.open(recorded / ARCHIVE) as packed:
        packed.extractall(folder, filter="data")
    for name in ("expectation.json", "manifest.json"):
        shutil.copyfile(recorded / name, folder / name)


def record(results: Path, recorded: Path) -> None:
    """Replace what is recorded in a folder."""
    if recorded.exists():
        shutil.rmtree(recorded)
    recorded.mkdir(parents=True)
    pack(results, recorded / ARCHIVE)
    shutil.copyfile(results / "model" / "manifest.json", recorded / "manifest.json")
    shutil.copyfile(results / "built_from.json", recorded / "expectation.json")


if __name__ == "__main__":
    record(Path(sys.argv[1]), REFERENCE / sys.argv[2])
