"""The oracle: it reads the pictures of mini's world from their pixels, and judges them.

>>> from fluxlens import oracle
>>> oracle.read_color(StillLife("mug", COLORS["red"]).draw(NO_FREE))
'red'

`read_…` say what a picture shows; `OracleJudge` answers the study's questions. Both draw their
lines where one calibrated file has them (`load_thresholds`), and `accuracy` says how often they are
right. Knows mini's drawings and what a judge is, nothing of models.
"""

from fluxlens.oracle.error_rates import accuracy
from fluxlens.oracle.features import Look
from fluxlens.oracle.oracle_judge import OracleJudge, verdict_on
from fluxlens.oracle.pixels import Picture
from fluxlens.oracle.readings import (
    FigureReading,
    ImageLike,
    PropReading,
    attributes_kept,
    likely_prop,
    likely_scene,
    named,
    prop_gone,
    read_color,
    read_figure,
    read_object,
    read_person,
    read_portrait,
    read_prop,
    read_rgb,
    read_scene,
    scene_kept,
    shown,
)  # fmt: skip
from fluxlens.oracle.rules import HEAD, rule_of
from fluxlens.oracle.thresholds import Thresholds, check_thresholds, load_thresholds

__all__ = [
    "HEAD", "FigureReading", "ImageLike", "Look", "OracleJudge", "Picture", "PropReading",
    "Thresholds", "accuracy", "attributes_kept", "check_thresholds", "likely_prop", "likely_scene",
    "load_thresholds", "named", "prop_gone", "read_color", "read_figure", "read_object",
    "read_person", "read_portrait", "read_prop", "read_rgb", "read_scene", "rule_of", "scene_kept",
    "shown", "verdict_on",
]  # fmt: skip
