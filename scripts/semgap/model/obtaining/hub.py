"""Downloading a causal language model from the Hugging Face Hub, at a pinned revision, verified."""

import contextlib
import fnmatch
import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from huggingface_hub import HfApi, constants, errors, hf_hub_url
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from semgap.errors import ModelError
from semgap.plumbing.files import NO_SPACE

log = logging.getLogger(__name__)

_CONFIG = "config.json"
_TIMEOUT_S = 30.0
# Safetensors hold nothing but tensors, so they come first; each as one file or as shards.
_FORMATS = (("model", ".safetensors"), ("pytorch_model", ".bin"))
_LOG_IN = "Log in with 'hf auth login' to an account that may read it, or choose another model."


def download_model(repo: str, revision: str, folder: Path) -> int:
    """Download configuration and weights of a model into ``folder``; returns their bytes.

    Files arrive in a folder beside it, which becomes ``folder`` when all are there and verified:
    a download that broke off is resumed by the next call. In a ``folder`` that has files already,
    those are verified and what is missing is added. Takes safetensors where the repository has
    them, else PyTorch files; no other format and no code. The endpoint is huggingface_hub's, which
    reads ``HF_ENDPOINT`` when it is imported.

    Args:
        repo: owner and name.
        revision: full hash of a commit.

    Raises:
        ModelError: the repository, revision or a file is not there or not for everyone, there are
            no usable weights, the endpoint cannot be reached, the download broke off, a file is
            not what the repository says, or the disk is full.
    """
    finished_before = folder.is_dir() and any(folder.iterdir())
    work = folder if finished_before else folder.with_name(f"{folder.name}.partial")
    work.mkdir(parents=True, exist_ok=True)
    with _explained(repo, revision, "The list of files"):
        # Fails at once where the endpoint cannot be reached; the listing retries for long.
        HfApi().model_info(repo, revision=revision, timeout=_TIMEOUT_S)
        entries = list(HfApi().list_repo_tree(repo, revision=revision, recursive=True))
    sizes_bytes = {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}
    wanted = _wanted(repo, revision, sizes_bytes)
    for name in wanted:
        with _explained(repo, revision, f"'{name}'"):
            _fetch(hf_hub_url(repo, name, revision=revision), work / name, sizes_bytes[name])
    with _explained(repo, revision, "The list of hashes"):
        found = HfApi().verify_repo_checksums(repo, revision=revision, local_dir=work)
    wrong = [mismatch["path"] for mismatch in found.mismatches]
    for name in wrong:
        (work / name).unlink()
    if wrong:
        raise ModelError(
            f"'{wrong[0]}' of {repo} is not what the repository says: its hash differs.",
            "It was deleted: run again to download it again.",
        )
    if work != folder:
        work.rename(folder)
    return sum(sizes_bytes[name] for name in wanted)


def _wanted(repo: str, revision: str, listed: Collection[str]) -> list[str]:
    for stem, suffix in _FORMATS:
        shards = sorted(fnmatch.filter(listed, f"{stem}-[0-9]????-of-[0-9]????{suffix}"))
        if f"{stem}{suffix}" in listed:
            wanted = [_CONFIG, f"{stem}{suffix}"]
        elif shards:
            wanted = [_CONFIG, f"{stem}{suffix}.index.json", *shards]
        else:
            continue
        for name in wanted:
            if name not in listed:
                raise ModelError(
                    f"{repo} has no '{name}' at revision {revision}.",
                    "Choose another revision or repository.",
                )
        return wanted
    raise ModelError(
        f"{repo} has neither {' nor '.join(map(''.join, _FORMATS))} at revision {revision}, whole "
        "or in shards.",
        "Choose a repository with safetensors or PyTorch weights.",
    )


def _fetch(url: str, path: Path, size_bytes: int) -> None:
    """Download a file, resuming a partial one."""
    # snapshot_download() discards a partial file; http_get() resumes it.
    with path.open("ab") as content:
        if content.tell() < size_bytes:
            log.info("downloading %s (%.1f MB)", path.name, size_bytes / 1e6)
            http_get(
                url,
                content,
                resume_size=content.tell(),
                # A byte range of compressed content would not continue the partial file.
                headers={**build_hf_headers(), "Accept-Encoding": "identity"},
                expected_size=size_bytes,
                displayed_filename=path.name,
            )


@contextlib.contextmanager
def _explained(repo: str, revision: str, wanted: str) -> Iterator[None]:
    """Turn the errors of a request for ``wanted`` into a cause and a remedy."""
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{wanted} of {repo} is only for those whom its owner has admitted (a gated model).",
            f"Ask for access on the model's page. {_LOG_IN}",
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ModelError(
            f"There is no public model '{repo}' at {constants.ENDPOINT}.",
            f"Check model.hub.repo. If the model is private: {_LOG_IN}",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(
            f"{repo} has no revision {revision}.", "Check model.hub.revision."
        ) from error
    except Exception as error:
        # Which exceptions mean that the network failed depends on huggingface_hub's HTTP library.
        if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
            raise ModelError(f"{wanted} of {repo} is refused: {error}.", _LOG_IN) from error
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise ModelError(
                f"There is no room left on the disk for {wanted} of {repo}.",
                "Make room and run again: what is there is kept.",
            ) from error
        raise ModelError(
            f"{wanted} of {repo} could not be downloaded from {constants.ENDPOINT}, or the "
            f"download broke off: {type(error).__name__}: {error}.",
            "Check the network (and HF_ENDPOINT), then run again: what is there is kept. Without "
            "internet set model.weights to folder or seeded.",
        ) from error
