"""Downloading a causal language model from the Hugging Face Hub, at a pinned revision, verified."""

import contextlib
import errno
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from semgap.errors import ModelError
from semgap.model.weight_files import SINGLE_FILES, WeightFormat, index_name, read_index

log = logging.getLogger(__name__)

_CONFIG = "config.json"
_COMPANIONS = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
_TIMEOUT_S = 30.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (401, 403)
_LOG_IN = "Log in with 'hf auth login' to an account that may read it, or choose another model."


class DownloadedFile(NamedTuple):
    """A file that was downloaded and verified."""

    name: str
    size_bytes: int
    # of the content, where the repository tells it: for files in large-file storage
    sha256: str | None


@dataclass(frozen=True)
class DownloadedModel:
    """What was downloaded."""

    folder: Path
    revision: str  # full hash of the commit
    weight_format: WeightFormat
    files: tuple[DownloadedFile, ...]  # all files of the model, each verified


@dataclass(frozen=True)
class _ListedFile:
    """A file as the repository describes it."""

    file: DownloadedFile
    git_blob: str | None  # Git's SHA-1 of the content, for files that are not in large-file storage


@dataclass(frozen=True)
class _Snapshot:
    """A repository at a commit."""

    repo: str
    commit: str
    listed: Mapping[str, _ListedFile]


def download_model(repo_id: str, revision: str, folder: Path) -> DownloadedModel:
    """Download configuration, weights and tokenizer of a model into ``folder``.

    Files arrive in a folder beside it, which becomes ``folder`` when all are there and verified:
    a download that broke off is resumed by the next call. In a ``folder`` that has files already,
    those are verified and what is missing is added. Takes safetensors where the repository has
    them, else PyTorch files; no other format and no code. The endpoint is huggingface_hub's, which
    reads ``HF_ENDPOINT`` when it is imported.

    Args:
        repo_id: owner and name.
        revision: full hash of a commit.

    Raises:
        ModelError: the repository, revision or a file is not there or not for everyone, there are
            no usable weights, the endpoint cannot be reached, the download broke off, a file is
            not what the repository says, or the disk is full.
    """
    finished_before = folder.is_dir() and any(folder.iterdir())
    work = folder if finished_before else folder.with_name(f"{folder.name}.partial")
    work.mkdir(parents=True, exist_ok=True)
    snapshot = _list_files(repo_id, revision)
    _fetch(snapshot, _CONFIG, work)
    weight_format, weights = _fetch_weights(snapshot, work)
    companions = [name for name in _COMPANIONS if name in snapshot.listed]
    for name in companions:
        _fetch(snapshot, name, work)
    if work != folder:
        work.rename(folder)
    return DownloadedModel(
        folder=folder,
        revision=snapshot.commit,
        weight_format=weight_format,
        files=tuple(snapshot.listed[name].file for name in (_CONFIG, *weights, *companions)),
    )


def _list_files(repo: str, revision: str) -> _Snapshot:
    with _explained(repo, revision, "The list of files"):
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
    listed = {}
    for sibling in info.siblings or ():
        if sibling.size is None:
            raise ModelError(
                f"{constants.ENDPOINT} does not tell the size of '{sibling.rfilename}' of {repo}, "
                "so that a download could not be verified.",
                "Use an endpoint that is a complete Hub: unset HF_ENDPOINT or set another one.",
            )
        listed[sibling.rfilename] = _ListedFile(
            DownloadedFile(
                name=sibling.rfilename,
                size_bytes=sibling.size,
                sha256=sibling.lfs.sha256 if sibling.lfs else None,
            ),
            git_blob=None if sibling.lfs else sibling.blob_id,
        )
    return _Snapshot(repo, info.sha or revision, listed)


def _fetch_weights(snapshot: _Snapshot, folder: Path) -> tuple[WeightFormat, Sequence[str]]:
    for weight_format, single in SINGLE_FILES.items():
        if single in snapshot.listed:
            _fetch(snapshot, single, folder)
            return weight_format, [single]
        index = index_name(weight_format)
        if index in snapshot.listed:
            shards = sorted(set(read_index(_fetch(snapshot, index, folder)).values()))
            for shard in shards:
                _fetch(snapshot, shard, folder)
            return weight_format, [index, *shards]
    raise ModelError(
        f"{snapshot.repo} has neither {' nor '.join(SINGLE_FILES.values())} at revision "
        f"{snapshot.commit}, whole or in shards.",
        "Choose a repository with safetensors or PyTorch weights.",
    )


def _fetch(snapshot: _Snapshot, name: str, folder: Path) -> Path:
    """Have a verified file in ``folder``, continuing what an earlier call left of it."""
    if name not in snapshot.listed:
        raise ModelError(
            f"{snapshot.repo} has no '{name}' at revision {snapshot.commit}.",
            "Choose another revision or repository.",
        )
    listed = snapshot.listed[name]
    size_bytes = listed.file.size_bytes
    path = folder / name
    # hf_hub_download() begins a file that broke off again from its first byte; this does not.
    with _explained(snapshot.repo, snapshot.commit, f"'{name}'"), path.open("ab") as content:
        if content.tell() < size_bytes:
            log.info("downloading %s (%.1f MB)", name, size_bytes / 1e6)
            http_get(
                hf_hub_url(snapshot.repo, name, revision=snapshot.commit),
                content,
                resume_size=content.tell(),
                # A range of compressed content would not continue what is there.
                headers={**build_hf_headers(), "Accept-Encoding": "identity"},
                expected_size=size_bytes,
                displayed_filename=name,
            )
    if path.stat().st_size != size_bytes or not _is_content(path, listed):
        path.unlink()
        raise ModelError(
            f"'{name}' of {snapshot.repo} is not what the repository says: its size or hash "
            "differs.",
            "It was deleted: run again to download it again.",
        )
    return path


def _is_content(path: Path, listed: _ListedFile) -> bool:
    if listed.file.sha256 is not None:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == listed.file.sha256
    if listed.git_blob is None:
        return True
    # Git hashes a header with the content: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    digest = hashlib.sha1(f"blob {listed.file.size_bytes}\0".encode(), usedforsecurity=False)
    digest.update(path.read_bytes())
    return digest.hexdigest() == listed.git_blob


@contextlib.contextmanager
def _explained(repo: str, revision: str, wanted: str) -> Iterator[None]:
    """Turn what asking for ``wanted`` raises into a cause and a remedy."""
    try:
        yield
    except GatedRepoError as error:
        raise ModelError(
            f"{wanted} of {repo} is only for those whom its owner has admitted (a gated model).",
            f"Ask for access on the model's page. {_LOG_IN}",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"There is no public model '{repo}' at {constants.ENDPOINT}.",
            f"Check model.hub.repo. If the model is private: {_LOG_IN}",
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"{repo} has no revision {revision}.", "Check model.hub.revision."
        ) from error
    except RemoteEntryNotFoundError as error:
        raise ModelError(
            f"{wanted}, which {repo} lists, cannot be had: {error}.",
            "Try again later, or choose another revision.",
        ) from error
    except Exception as error:
        # Which exceptions mean that the network failed depends on huggingface_hub's HTTP library.
        if isinstance(error, HfHubHTTPError) and error.response.status_code in _REFUSED:
            raise ModelError(f"{wanted} of {repo} is refused: {error}.", _LOG_IN) from error
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise ModelError(
                f"There is no room left on the disk for {wanted} of {repo}.",
                "Make room and run again: what is there is kept.",
            ) from error
        raise ModelError(
            f"{wanted} of {repo} could not be downloaded from {constants.ENDPOINT}, or the "
            f"download broke off: {type(error).__name__}: {error}.",
            "Check the network (and HF_ENDPOINT), then run again: what is there is kept. Without "
            "internet set model.weights to local or seeded.",
        ) from error
