"""What is expected of the modes, as sentences with numbers: config/claims.yaml."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from semgap.errors import ConfigError
from semgap.modes import policy_of
from semgap.plumbing.yaml_files import read_yaml

Phase = Literal["setup", "prefill", "decode"]


class _Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all kinds of claims have: the number that is seen lies within two bounds."""

    id: Annotated[str, Meta(pattern=r"^C[0-9]+$(?!\n)")]
    sentence: str  # in Markdown
    at_least: float | None = None
    at_most: float | None = None
    # The claim speaks only of models with at least so many parameters, and only of GPUs.
    min_parameters: int = 0
    on_gpu: bool = False


class BytesClaim(_Claim, frozen=True, tag_field="kind", tag="bytes"):
    """Bytes on the wire in a phase, or their ratio to another mode's, in every repeat."""

    phases: tuple[Phase, ...]
    mode: str
    over: str | None = None
    # The ratio is at least this share of the one that arithmetic on the model's shape predicts.
    min_of_predicted: float = 0.0


class RatioClaim(_Claim, frozen=True, tag_field="kind", tag="ratio"):
    """The ratio of a quantity of repeats.csv to another mode's in the same round."""

    quantity: Annotated[str, Meta(pattern=r"^[a-z0-9_]+$(?!\n)")]
    phases: tuple[Phase, ...]
    mode: str
    over: str


class GrowthClaim(_Claim, frozen=True, tag_field="kind", tag="growth"):
    """By how much a decode step moves more than the one before, ÷ the KV cache of one token."""

    mode: str


class AnswersClaim(_Claim, frozen=True, tag_field="kind", tag="answers"):
    """How many tokens of any run are not those of ``local``."""


Claim = BytesClaim | RatioClaim | GrowthClaim | AnswersClaim


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    claims: tuple[Claim, ...]


def load_claims(path: Path) -> tuple[Claim, ...]:
    """Read and check a file of claims.

    Raises:
        ConfigError: names what is wrong.
    """
    remedy = f"Correct '{path}'; docs/claims.md lists kinds and keys."
    try:
        claims = msgspec.convert(read_yaml(path, remedy), _File).claims
    except msgspec.ValidationError as error:
        raise ConfigError(f"'{path}' holds no claims: {error}.", remedy) from error
    for claim in claims:
        if claim.at_least is None and claim.at_most is None:
            raise ConfigError(f"Claim {claim.id} has neither at_least nor at_most.", remedy)
        for mode in (getattr(claim, "mode", None), getattr(claim, "over", None)):
            if mode is not None:
                policy_of(mode)
    if len({claim.id for claim in claims}) < len(claims):
        raise ConfigError(f"'{path}' has two claims of one id.", remedy)
    return claims
