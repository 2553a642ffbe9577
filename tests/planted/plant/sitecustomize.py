"""Plants the error that the environment names into every Python process that is started."""

from __future__ import annotations

import os

if error := os.environ.get("PLANTED_ERROR"):
    import planting

    planting.plant(error)
