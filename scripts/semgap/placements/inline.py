"""Sent with every step and returned; the worker keeps nothing."""

from semgap.placements import Placement

PLACEMENT = Placement()
