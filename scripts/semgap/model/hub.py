"""Downloading a causal language model from the Hugging Face Hub, at a pinned revision, verified.

huggingface_hub downloads, with its own cache, tokens, mirrors (HF_ENDPOINT) and offline mode.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from huggingface_hub import constants, errors, snapshot_download

from semgap.errors import ModelError
from semgap.model.model_settings import TOKENIZER_FILES, tokenizer_files
from semgap.plumbing.files import NO_SPACE

_CONFIG = "config.json"
# Safetensors hold nothing but tensors, so they come first; each as one file or as shards.
_FORMATS = (("model", ".safetensors"), ("pytorch_model", ".bin"))
_LOG_IN = "Log in with 'hf auth login' to an account that may read it, or choose another model."
_SHA256_DIGITS, _SHA1_DIGITS = 64, 40


def download_model(repo: str, revision: str, folder: Path) -> int:
    """Download configuration, weights and tokenizer of a model; returns their bytes.

    ``folder`` gets links to the files in huggingface_hub's cache. Takes safetensors where the
    repository has them, else PyTorch files; no other format and no code.

    Args:
        repo: owner and name.
        revision: full hash of a commit.

    Raises:
        ModelError: the repository, revision or a file is not there or not for everyone, there are
            no usable weights, the endpoint cannot be reached, a file is not what the repository
            says, or the disk is full.
    """
    files = _fetched(repo, revision)
    for file in files:
        _check_content(file, repo)
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        link = folder / file.name
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())
    return sum(file.stat().st_size for file in files)


def _fetched(repo: str, revision: str) -> Sequence[Path]:
    for stem, suffix in _FORMATS:
        names = (f"{stem}{suffix}", f"{stem}-?????-of-?????{suffix}", f"{stem}{suffix}.index.json")
        with _explained(repo, revision):
            snapshot = Path(
                snapshot_download(
                    repo, revision=revision, allow_patterns=[_CONFIG, *names, *TOKENIZER_FILES]
                )
            )
        weights = [snapshot / names[0]]
        if not weights[0].exists():
            index = snapshot / names[2]
            if not index.exists():
                continue
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            weights = [index, *(snapshot / name for name in sorted(set(shards)))]
        needed = [snapshot / _CONFIG, *weights]
        for file in needed:
            if not file.exists():
                raise ModelError(
                    f"{repo} has no '{file.name}' at revision {revision}.",
                    "Choose another revision or repository.",
                )
        return [*needed, *map(Path, tokenizer_files(snapshot))]
    raise ModelError(
        f"{repo} has neither {' nor '.join(map(''.join, _FORMATS))} at revision {revision}, whole "
        "or in shards with an index.",
        "Choose a repository with safetensors or PyTorch weights.",
    )


def _check_content(file: Path, repo: str) -> None:
    """Hash a file: the cache names each by its SHA-256 or, small ones, by git's SHA-1 of it."""
    blob = file.resolve()
    with blob.open("rb") as content:
        if len(blob.name) == _SHA256_DIGITS:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        elif len(blob.name) == _SHA1_DIGITS:
            header = f"blob {blob.stat().st_size}\0".encode()
            digest = hashlib.sha1(header + content.read(), usedforsecurity=False).hexdigest()
        else:
            # A cache without links has no hashes.
            return
    if digest != blob.name:
        blob.unlink()
        raise ModelError(
            f"'{file.name}' of {repo} is not what the repository says: its hash differs.",
            "It was deleted: run again to download it again.",
        )


@contextlib.contextmanager
def _explained(repo: str, revision: str) -> Iterator[None]:
    """Turn the errors of a download into a cause and a remedy."""
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{repo} is only for those whom its owner has admitted (a gated model).",
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
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise ModelError(
                f"There is no room left on the disk for {repo}.",
                f"Make room in {constants.HF_HUB_CACHE} and run again.",
            ) from error
        raise ModelError(
            f"{repo} could not be downloaded from {constants.ENDPOINT}, or the download broke off: "
            f"{type(error).__name__}: {error}.",
            "Check the network (HF_ENDPOINT, HF_HUB_OFFLINE), then run again. Without internet set "
            "model.weights to folder or seeded.",
        ) from error
