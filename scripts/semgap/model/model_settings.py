"""Which model the experiment runs: the configuration's section ``model``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


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


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that answers the prompt."""

    name: Annotated[
        str, Meta(min_length=1, max_length=200, description="The model's name in the table.")
    ]
    weights: Annotated[
        Literal["hub", "folder", "seeded"],
        Meta(
            description="Where the weights come from: downloaded from the Hugging Face Hub, read "
            "from a folder, or made from a seed for the given architecture (no pretrained model; "
            "the table says so)."
        ),
    ]
    hub: Annotated[HubSettings, Meta(description="The repository, for `weights: hub`.")] = (
        msgspec.field(default_factory=HubSettings)
    )
    folder: Annotated[
        str | None,
        Meta(description="Folder with config.json and weight files, for `weights: folder`."),
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
            "folder": f"from the folder {self.folder}",
            "seeded": f"made from seed {self.seed}",
        }[self.weights]

    @property
    def source_remedy(self) -> str:
        """What to do about weights that cannot be read from where they come from."""
        return {
            "hub": "Delete the download and run again: it is downloaded anew.",
            "folder": f"Put a complete config.json and weight files into '{self.folder}'.",
            "seeded": "Delete the stored weights and run again: they are made anew.",
        }[self.weights]

    def without_other_sources(self) -> "ModelSettings":
        """The same without what belongs to other sources of weights."""
        sources: dict[str, dict[str, Any]] = {
            "hub": {"hub": self.hub},
            "folder": {"folder": self.folder},
            "seeded": {"architecture": self.architecture, "seed": self.seed},
        }
        return ModelSettings(
            name=self.name, weights=self.weights, dtype=self.dtype, **sources[self.weights]
        )


def model_files(folder: Path) -> list[str]:
    """The files of a folder that a model is read from; config.json even if it is missing."""
    patterns = ("*.safetensors", "*.bin", "*.index.json")
    weights = {str(file) for pattern in patterns for file in folder.glob(pattern)}
    return [str(folder / "config.json"), *sorted(weights)]
