"""Which model the experiment runs: the configuration's section ``model``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from semgap.errors import ModelError

# What tokenizers are made of, in their different forms.
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "spiece.model"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)


class HubSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The repository to download."""

    repo: Annotated[
        Annotated[str, Meta(pattern=r"^[^/\s]+/[^/\s]+$(?!\n)")] | None,
        Meta(description="Owner and name of the repository."),
    ] = None
    revision: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)")] | None,
        Meta(description="The commit to download; a full hash, so that nothing moves."),
    ] = None


class PackageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file to take out of a package of the package index."""

    name: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")] | None,
        Meta(description="Name of the package."),
    ] = None
    version: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9][A-Za-z0-9.!+_-]*$(?!\n)")] | None,
        Meta(description="Its version, so that nothing moves."),
    ] = None
    file: Annotated[
        Annotated[str, Meta(pattern=r"^[^\x00-\x1f]+\.gguf$(?!\n)")] | None,
        Meta(description="Path of a GGUF file in the package's wheel."),
    ] = None
    sha256: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")] | None,
        Meta(description="SHA-256 of that file; another one is refused."),
    ] = None


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that answers the prompt."""

    name: Annotated[
        str, Meta(min_length=1, max_length=200, description="The model's name in the table.")
    ]
    weights: Annotated[
        Literal["hub", "package", "folder", "seeded"],
        Meta(
            description="Where the weights come from: downloaded from the Hugging Face Hub, taken "
            "out of a package of the package index, read from a folder, or made from a seed for "
            "the given architecture (no pretrained model; the table says so)."
        ),
    ]
    hub: Annotated[HubSettings, Meta(description="The repository, for `weights: hub`.")] = (
        msgspec.field(default_factory=HubSettings)
    )
    package: Annotated[
        PackageSettings, Meta(description="The package's file, for `weights: package`.")
    ] = msgspec.field(default_factory=PackageSettings)
    folder: Annotated[
        str | None,
        Meta(
            description="Folder with config.json and weight files, or with one GGUF file, for "
            "`weights: folder`."
        ),
    ] = None
    architecture: Annotated[
        dict[str, Any] | None,
        Meta(
            description="A transformers configuration, model_type included, for `weights: seeded`."
        ),
    ] = None
    seed: Annotated[int, Meta(ge=0, description="Makes the weights, for `weights: seeded`.")] = 0
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"],
        Meta(description="Dtype of weights, KV cache and logits, in every mode."),
    ] = "float32"

    @property
    def origin(self) -> str:
        """The source of the weights, as the table says it."""
        return {
            "hub": f"from {self.hub.repo} at {self.hub.revision}",
            "package": f"from the package {self.package.name} {self.package.version}",
            "folder": f"from the folder {self.folder}",
            "seeded": f"made from seed {self.seed}",
        }[self.weights]

    @property
    def source_remedy(self) -> str:
        """What to do about weights that cannot be read from where they come from."""
        return {
            "hub": "Delete the download and run again: it is downloaded anew.",
            "package": "Use a version of transformers that reads this file, or another file.",
            "folder": f"Put a complete config.json and weight files, or one GGUF file that "
            f"transformers reads, into '{self.folder}'.",
            "seeded": "Delete the stored weights and run again: they are made anew.",
        }[self.weights]

    def without_other_sources(self) -> "ModelSettings":
        """The same without what belongs to other sources of weights."""
        sources: dict[str, dict[str, Any]] = {
            "hub": {"hub": self.hub},
            "package": {"package": self.package},
            "folder": {"folder": self.folder},
            "seeded": {"architecture": self.architecture, "seed": self.seed},
        }
        return ModelSettings(
            name=self.name, weights=self.weights, dtype=self.dtype, **sources[self.weights]
        )


def model_files(folder: Path) -> list[str]:
    """The files of a folder that a model is read from; config.json even if it is missing."""
    if packed := gguf_file(folder):
        return [str(packed)]
    patterns = ("*.safetensors", "*.bin", "*.index.json")
    weights = {str(file) for pattern in patterns for file in folder.glob(pattern)}
    return [str(folder / "config.json"), *sorted(weights), *tokenizer_files(folder)]


def tokenizer_files(folder: Path) -> list[str]:
    """The files of a folder in the Hub's form that a model's tokenizer is read from."""
    return [str(folder / name) for name in TOKENIZER_FILES if (folder / name).exists()]


def gguf_file(folder: Path) -> Path | None:
    """The GGUF file that a folder's model is in, unless it is in files of another form.

    Raises:
        ModelError: there are several.
    """
    files = sorted(folder.glob("*.gguf"))
    if not files or any(folder.glob("*.safetensors")) or any(folder.glob("*.bin")):
        return None
    if len(files) > 1:
        raise ModelError(
            f"'{folder}' holds {len(files)} GGUF files, '{files[0].name}' and '{files[1].name}' "
            "among them.",
            "Leave one there. One that was split has to be joined first: llama-gguf-split --merge.",
        )
    return files[0]
