"""The policy table: one row for each execution mode, in the order of the published table."""

from semgap.errors import ConfigError
from semgap.plumbing.registry import names_in
from semgap.policy import Label, Policy, TensorClass, WorkerPlace

# fmt: off
POLICIES: tuple[Policy, ...] = (
    Policy("local", Label("Local (Baseline)"), WorkerPlace.IN_PROCESS,
           weights="resident", kv_cache="resident"),
    Policy("naive", Label("Semantic-Blind (Naive)"), WorkerPlace.SERVER,
           weights="inline", kv_cache="inline"),
    Policy("remote_cache", Label("Semantic-Blind + Remote Cache"), WorkerPlace.SERVER,
           weights="resident", kv_cache="inline"),
    Policy("semantic", Label("Framework-Level (\\sys)", latex="Framework-Level (\\sys)"),
           WorkerPlace.SERVER, weights="resident", kv_cache="resident"),
    Policy("delta", Label("Semantic-Blind + Remote Cache, Deltas"), WorkerPlace.SERVER,
           weights="resident", kv_cache="delta"),
    Policy("token_only", Label("Framework-Level, Token Only"), WorkerPlace.SERVER,
           weights="resident", kv_cache="resident", logits="resident"),
    Policy("op_sync", Label("Operator Level, Synchronous"), WorkerPlace.SERVER,
           weights="resident", kv_cache="resident", executor="per_operation"),
    Policy("op_pipelined", Label("Operator Level, Pipelined"), WorkerPlace.SERVER,
           weights="resident", kv_cache="resident", executor="pipelined_operations"),
    Policy("op_graph", Label("Operator Level, Recorded"), WorkerPlace.SERVER,
           weights="resident", kv_cache="resident", executor="recorded_operations",
           logit_tolerance=0.05),
    Policy("content_addressed", Label("Semantic-Blind, Content-Addressed"), WorkerPlace.SERVER,
           weights="inline", kv_cache="inline", encoding="content_addressed"),
    Policy("compressed", Label("Semantic-Blind + Remote Cache, Compressed"), WorkerPlace.SERVER,
           weights="resident", kv_cache="inline", encoding="zstd"),
    Policy("fp8", Label("Semantic-Blind + Remote Cache, 8 Bits"), WorkerPlace.SERVER,
           weights="resident", kv_cache="inline", encoding="fp8", logit_tolerance=1.0),
)
# fmt: on


def policy_of(mode: str) -> Policy:
    """Return the row of ``mode``.

    Raises:
        ConfigError: no row has that identifier, or the row asks for what does not exist.
    """
    for policy in POLICIES:
        if policy.mode == mode:
            check_policy(policy)
            return policy
    known = ", ".join(policy.mode for policy in POLICIES)
    raise ConfigError(f"There is no mode '{mode}'.", f"Choose one of: {known}.")


def places_of(tensor_class: TensorClass) -> tuple[str, ...]:
    """Where tensors of a class can live; any placement holds a KV cache."""
    if tensor_class is TensorClass.KV_CACHE:
        return names_in("placements")
    return {
        TensorClass.WEIGHTS: ("inline", "resident"),
        TensorClass.TOKENS: ("inline",),
        TensorClass.LOGITS: ("inline", "resident"),
    }[tensor_class]


def check_policy(policy: Policy) -> None:
    """Check that a row can run.

    Raises:
        ConfigError: names the column and what it can be.
    """
    for tensor_class in TensorClass:
        place: str = getattr(policy, tensor_class)
        if place not in places_of(tensor_class):
            raise ConfigError(
                f"The mode '{policy.mode}' has {tensor_class} '{place}'.",
                f"They can be {' or '.join(places_of(tensor_class))} (scripts/semgap/modes.py).",
            )
    if policy.encoding is not None and policy.encoding not in names_in("encodings"):
        raise ConfigError(
            f"The mode '{policy.mode}' has the encoding '{policy.encoding}'.",
            f"It can be {' or '.join(names_in('encodings'))} (scripts/semgap/modes.py), or none.",
        )
