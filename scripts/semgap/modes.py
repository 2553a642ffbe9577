"""The policy table: one row for each execution mode, in the order of the published table."""

from semgap.errors import ConfigError
from semgap.policy import Label, Policy, WorkerPlace

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
)
# fmt: on


def policy_of(mode: str) -> Policy:
    """Return the row of ``mode``.

    Raises:
        ConfigError: no row has that identifier.
    """
    for policy in POLICIES:
        if policy.mode == mode:
            return policy
    known = ", ".join(policy.mode for policy in POLICIES)
    raise ConfigError(f"There is no mode '{mode}'.", f"Choose one of: {known}.")
