"""The paper as data under its old name, until the last importers use `fluxlens.results`."""

from fluxlens.results.paper import *  # noqa: F403
