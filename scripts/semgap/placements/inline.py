"""Sent with every step and returned; the worker keeps nothing."""

from semgap.placements.placement_contract import Placement

PLACEMENT = Placement()
