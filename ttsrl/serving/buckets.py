"""Buckets of the reward service's histograms of time."""

from __future__ import annotations

SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]
LONG_SECONDS = [*SECONDS, 60.0, 120.0, 300.0]
"""For what a queue is part of: as long as a client's deadline."""
