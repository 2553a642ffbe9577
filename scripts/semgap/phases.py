"""The phases of a run, by name, in their order."""

from __future__ import annotations

SETUP = "setup"
WARMUP = "warmup"
PREFILL = "prefill"
DECODE = "decode"

# Those that the tables report; the others prepare them.
MEASURED_PHASES = (PREFILL, DECODE)
