"""Imports of what only an extra brings, and the one sentence that says which is missing.

```python
with optional("study", "figures"):
    from matplotlib.figure import Figure
```
`pip install fluxlens` brings what the interventions need; tables, judges, panels and workers need
more.
"""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["MissingExtraError", "optional"]


class MissingExtraError(ModuleNotFoundError):
    """A package that an extra brings is not installed; the message is the command to get it."""


@contextmanager
def optional(extra: str, purpose: str) -> Iterator[None]:
    """Import in its body what `extra` brings; `purpose`, in the plural, is what needs it.

    `MissingExtraError` where a package is not there. A package that is there but breaks raises its
    own error.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        package = (missing.name or "a package").partition(".")[0]
        raise MissingExtraError(
            f"{purpose} need {package}: pip install 'fluxlens[{extra}]'", name=package
        ) from None
