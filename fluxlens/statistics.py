"""Intervals and tests under their old name, until the last importers use `fluxlens.results`."""

from fluxlens.results.statistics import *  # noqa: F403
