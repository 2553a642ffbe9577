"""What a model computes is not a number: why, and what to do."""

from semgap.errors import ModelError


def not_a_number(dtype: str) -> ModelError:
    """The error for logits that are not numbers."""
    others = "float32" if dtype == "bfloat16" else "bfloat16 or float32"
    return ModelError(
        f"The model's logits are NaN in {dtype}: values inside it exceed what {dtype} can hold, or "
        "the weights hold NaN.",
        f"Set model.dtype to {others}." if dtype != "float32" else "Use other weights.",
    )
