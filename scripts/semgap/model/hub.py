"""Downloading a causal language model from the Hugging Face Hub, at a pinned revision, verified."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from semgap.errors import ModelError

log = logging.getLogger(__name__)

_CONFIG = "config.json"
_TIMEOUT_S = 30.0
# Safetensors hold nothing but tensors, so they come first; each as one file or as shards.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_INDEX_SUFFIX = ".index.json"


@dataclass(frozen=True)
class HubFile:
    """A file as the repository describes it.

    Attributes:
        sha256: of the content, for files in large-file storage; empty for others.
        git_blob: Git's SHA-1 of the content, for files that are not; empty for the former.
    """

    name: str
    size_bytes: int
    sha256: str
    git_blob: str


def download_model(repo: str, revision: str, folder: Path) -> None:
    """Download configuration and weights of a model into ``folder``.

    Files arrive in a folder beside it, which becomes ``folder`` when all are there and verified:
    a download that broke off is resumed by the next call. Takes safetensors where the repository
    has them, else PyTorch files; no other format and no code. The endpoint is huggingface_hub's
    (``HF_ENDPOINT``).

    Args:
        repo: owner and name.
        revision: full hash of a commit.

    Raises:
        ModelError: the repository, revision or a file is not there, the endpoint cannot be
            reached, the download broke off, or a file is not what the repository says.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        listed = _listed_files(repo, revision)
        _fetch_verified(repo, revision, _CONFIG, listed, partial)
        for name in _weight_files(repo, revision, listed, partial):
            _fetch_verified(repo, revision, name, listed, partial)
    except (GatedRepoError, RepositoryNotFoundError) as error:
        raise ModelError(
            f"There is no public model '{repo}' at this endpoint.",
            "Check model.hub.repo; for a private or gated model log in with 'hf auth login'.",
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"{repo} has no revision {revision}.", "Check model.hub.revision."
        ) from error
    except RemoteEntryNotFoundError as error:
        raise ModelError(
            f"A file that {repo} lists cannot be had: {error}.",
            "Try again later, or choose another revision.",
        ) from error
    except ModelError:
        raise
    except Exception as error:
        # Which exceptions mean that the network failed depends on huggingface_hub's HTTP library.
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ModelError(
            f"The download of {repo} broke off: {type(error).__name__}: {error}.",
            "Check the network (and HF_ENDPOINT), then run again: what is there is kept. Without "
            "internet set model.weights to local or seeded.",
        ) from error
    partial.rename(folder)


def _listed_files(repo: str, revision: str) -> dict[str, HubFile]:
    info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
    return {
        sibling.rfilename: HubFile(
            name=sibling.rfilename,
            size_bytes=sibling.size or 0,
            sha256=sibling.lfs.sha256 if sibling.lfs else "",
            git_blob="" if sibling.lfs else sibling.blob_id or "",
        )
        for sibling in info.siblings or ()
    }


def _weight_files(
    repo: str, revision: str, listed: Mapping[str, HubFile], folder: Path
) -> Iterable[str]:
    for name in _WEIGHTS:
        if name in listed:
            return (name,)
        index = f"{name}{_INDEX_SUFFIX}"
        if index in listed:
            path = _fetch_verified(repo, revision, index, listed, folder)
            return sorted(set(json.loads(path.read_text())["weight_map"].values()))
    raise ModelError(
        f"{repo} has neither {' nor '.join(_WEIGHTS)} at revision {revision}.",
        "Choose a repository with safetensors or PyTorch weights.",
    )


def _fetch_verified(
    repo: str, revision: str, name: str, listed: Mapping[str, HubFile], folder: Path
) -> Path:
    """Have a file in ``folder``, continuing what an earlier call left of it."""
    if name not in listed:
        raise ModelError(
            f"{repo} has no '{name}' at revision {revision}.",
            "Choose another revision or repository.",
        )
    file = listed[name]
    path = folder / name
    # A file name that leads out of the folder is no file of a model.
    if path.resolve().parent != folder.resolve():
        raise ModelError(f"{repo} lists a file '{name}'.", "Choose another repository.")
    with path.open("ab") as content:
        if content.tell() < file.size_bytes:
            log.info("downloading %s (%.1f MB)", name, file.size_bytes / 1e6)
            http_get(
                hf_hub_url(repo, name, revision=revision),
                content,
                resume_size=content.tell(),
                headers=build_hf_headers(),
                expected_size=file.size_bytes,
                displayed_filename=name,
            )
    if path.stat().st_size != file.size_bytes or not _is_content(path, file):
        path.unlink()
        raise ModelError(
            f"'{name}' of {repo} is not what the repository says: its size or hash differs.",
            "It was deleted: run again to download it again.",
        )
    return path


def _is_content(path: Path, file: HubFile) -> bool:
    if file.sha256:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
    # Git hashes a header with the content: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    digest = hashlib.sha1(f"blob {file.size_bytes}\0".encode(), usedforsecurity=False)
    digest.update(path.read_bytes())
    return digest.hexdigest() == file.git_blob
