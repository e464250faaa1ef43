"""The oracle's readings under their old name, until the last importers use `fluxlens.oracle`."""

from fluxlens.oracle import *  # noqa: F403
