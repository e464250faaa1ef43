"""The two errors of our own; bad arguments raise Python's `ValueError` or `TypeError`."""


class ModelError(RuntimeError):
    """A model could not be loaded, or cannot be put under these instruments; says the remedy."""


class FiringError(RuntimeError):
    """An intervention did not act as often as its blocks and steps promised."""
