"""Which state of the project's sources a folder holds, as git says."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from semgap.meters.commands import Answer, ask

# A checkout that the project only happens to lie in does not track it.
_OWN_FILE = "Snakefile"
# They would make git speak of another folder than the one it is asked about; git sets them itself
# while it runs a hook.
_REDIRECTIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")


class SourceState(msgspec.Struct, frozen=True):
    """A commit, and whether tracked files differ from it.

    Attributes:
        commit, dirty: None where git does not tell; ``reason`` then says why, and is empty else.
    """

    commit: str | None
    dirty: bool | None
    reason: str = ""


def read_source_state(project: Path) -> SourceState:
    """Ask git about a folder; writes nothing, and fails nowhere."""
    answers = (
        _ask_git(project, "rev-parse", "--verify", "HEAD"),
        _ask_git(project, "ls-files", "--", _OWN_FILE),
        _ask_git(project, "status", "--porcelain", "--untracked-files=no", "--", "."),
    )
    commit, own_file, changes = (answer.output for answer in answers)
    if commit is None or own_file is None or changes is None:
        reason = next(answer.problem for answer in answers if answer.output is None)
        return SourceState(None, None, reason)
    if not own_file:
        return SourceState(None, None, "the git checkout around the project does not track it")
    return SourceState(commit, bool(changes))


def _ask_git(project: Path, *arguments: str) -> Answer:
    environment = {name: value for name, value in os.environ.items() if name not in _REDIRECTIONS}
    # `git status` would otherwise write down what it found out about the files' times.
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    environment["LC_ALL"] = "C"
    return ask(("git", "-C", str(project), "-c", "core.fsmonitor=false", *arguments), environment)
