"""How long a test waits for what takes seconds on a quiet machine: a guard against a hang only."""

PATIENCE_S = 120
