"""Verdicts under their old name, until the last importers use `fluxlens.judge` and `.results`."""

from fluxlens.judge import NULL, Verdict, Verdicts, read_verdicts
from fluxlens.results import counted, place

__all__ = ["NULL", "Verdict", "Verdicts", "counted", "place", "read_verdicts"]
