"""The study's tasks: the paper's 2,875 and as many of mini's own (paper, section 4.1).

```python
from fluxlens.tasks import mini_tasks, pairs, reference_image

task = mini_tasks(["style"])[0]
flux.edit(task.instruction, ref=reference_image(task), seed=task.noise_seed)
```
Nothing here knows of models or judges.
"""

from fluxlens.tasks.assets import (
    Assets,
    Missing,
    MissingAssetsError,
    available,
    download_dreambench,
    missing,
    reference_image,
    report,
    require,
)
from fluxlens.tasks.mini import edit, mini_tasks
from fluxlens.tasks.pairing import PAIRED, pairs
from fluxlens.tasks.paper import PaperDataError, paper_tasks, row
from fluxlens.tasks.task import FAMILIES, WORLDS, Family, Reference, Task, World

__all__ = [
    "FAMILIES",
    "PAIRED",
    "WORLDS",
    "Assets",
    "Family",
    "Missing",
    "MissingAssetsError",
    "PaperDataError",
    "Reference",
    "Task",
    "World",
    "available",
    "download_dreambench",
    "edit",
    "mini_tasks",
    "missing",
    "pairs",
    "paper_tasks",
    "reference_image",
    "report",
    "require",
    "row",
]
