"""Live, in JupyterLab: any prompt, reference, recipe, block, region, edge and seed.

```python
from fluxlens import lab
lab.explore(fl.load("mini"))
```
A panel of ipywidgets over one model. What it does without the widgets is `fluxlens.lab.session`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluxlens.optional import optional

if TYPE_CHECKING:
    from fluxlens.editor import Editor
    from fluxlens.lab.panel import Panel

__all__ = ["explore"]


def explore(editor: Editor) -> Panel:
    """A panel that runs every recipe on `editor`: ``lab.explore(editor)`` as a cell's last line.

    `MissingExtraError` where ipywidgets is missing.
    """
    with optional("lab", "live panels"):
        from fluxlens.lab.panel import Panel
    return Panel(editor)
