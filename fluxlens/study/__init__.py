"""The study: from the cells of the paper's tables to pictures on disk, resumable and shared out.

```python
import fluxlens as fl
from fluxlens.study import Picture, choose, make_plan, plan_of, run

editor = fl.load("mini")
run(editor, make_plan("mini", choose(families=["color"]), limit=8), "results")  # the tables' cells
summary = run(editor, plan_of("mini", [Picture(Lens("all", "double.1"), task)]), "results")
```
What is there already is not made again. `fluxlens plan` and `fluxlens run` are the same on the
command line. `fluxlens.study.treatments` has a record for all that is done to make a picture;
`fluxlens.study.paths` says where each picture lies and which of them a judge sees.
"""

from fluxlens.study.cells import EXTRAS, Need, choose
from fluxlens.study.paths import Entity, entities, image_path, model_folder, reference_path
from fluxlens.study.pictures import Picture
from fluxlens.study.plan import Plan, make_plan, plan_of
from fluxlens.study.reading import Study, open_study
from fluxlens.study.run import Settings, Summary, run
from fluxlens.study.store import read_record
from fluxlens.study.survey import OtherPicturesError
from fluxlens.study.treatments import (
    ColorLens,
    Drop,
    Edit,
    Generation,
    Knockout,
    Lens,
    Patching,
    Placebo,
    Steering,
    Treatment,
    treatment,
)
from fluxlens.study.workers import run_with_workers
from fluxlens.study.world import world_of

__all__ = [
    "EXTRAS",
    "ColorLens",
    "Drop",
    "Edit",
    "Entity",
    "Generation",
    "Knockout",
    "Lens",
    "Need",
    "OtherPicturesError",
    "Patching",
    "Picture",
    "Placebo",
    "Plan",
    "Settings",
    "Steering",
    "Study",
    "Summary",
    "Treatment",
    "choose",
    "entities",
    "image_path",
    "make_plan",
    "model_folder",
    "open_study",
    "plan_of",
    "read_record",
    "reference_path",
    "run",
    "run_with_workers",
    "treatment",
    "world_of",
]
