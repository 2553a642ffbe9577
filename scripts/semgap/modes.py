"""The policy table: one row for each execution mode, in the order of the published table."""

from semgap.errors import ConfigError
from semgap.policy import Label, Policy, WorkerPlace

POLICIES: tuple[Policy, ...] = (
    Policy(
        mode="local",
        label=Label("Local (Baseline)"),
        worker=WorkerPlace.IN_PROCESS,
        weights="resident",
        kv_cache="resident",
        logit_tolerance=0.0,
    ),
    Policy(
        mode="naive",
        label=Label("Semantic-Blind (Naive)"),
        worker=WorkerPlace.SERVER,
        weights="inline",
        kv_cache="inline",
        logit_tolerance=0.0,
    ),
    Policy(
        mode="remote_cache",
        label=Label("Semantic-Blind + Remote Cache"),
        worker=WorkerPlace.SERVER,
        weights="resident",
        kv_cache="inline",
        logit_tolerance=0.0,
    ),
    Policy(
        mode="semantic",
        label=Label("Framework-Level (\\sys)", latex="Framework-Level (\\sys)"),
        worker=WorkerPlace.SERVER,
        weights="resident",
        kv_cache="resident",
        logit_tolerance=0.0,
    ),
    Policy(
        mode="delta",
        label=Label("Semantic-Blind + Remote Cache, Deltas"),
        worker=WorkerPlace.SERVER,
        weights="resident",
        kv_cache="delta",
        logit_tolerance=0.0,
    ),
    Policy(
        mode="token_only",
        label=Label("Framework-Level, Token Only"),
        worker=WorkerPlace.SERVER,
        weights="resident",
        kv_cache="resident",
        logits="resident",
        logit_tolerance=0.0,
    ),
)


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
