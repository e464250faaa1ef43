"""What verdicts come to: the paper as data, its tables with honest intervals, tests and claims.

>>> from fluxlens import results
>>> verdicts = results.read_verdicts("results/mini/verdicts/oracle")
>>> results.table("2", verdicts)[["row", "column", "printed", "paper_printed"]]

Tables are pandas DataFrames, to be filtered and plotted; `report` prints them. Rates, bounds and
differences are in percent, as the paper prints them. Nothing here knows models or pictures.
"""

from fluxlens.judge import NULL, Verdict, Verdicts, read_verdicts
from fluxlens.optional import optional

with optional("study", "studies and tables"):
    import pandas  # noqa: F401 - the modules of this room take it from here on for granted

from fluxlens.results.baseline_conditioned_rates import baseline_conditioned_rates, plain_edit_shows
from fluxlens.results.claims import claim_tests, claims, predictions
from fluxlens.results.paired_tests import agreement, comparisons, disagreements
from fluxlens.results.paper import (
    CellPlan, ComparisonPlan, FigurePlan, Paper, Published, Table, load_paper,
)  # fmt: skip
from fluxlens.results.report import (
    FORMATS, Format, report, report_agreement, report_comparisons, report_parts,
)  # fmt: skip
from fluxlens.results.statistics import (
    Kappa, Paired, cluster_interval, kappa, paired, printed, wilson,
)  # fmt: skip
from fluxlens.results.tables import (
    TABLES, breakdown, cells, counted, place, records, table,
)  # fmt: skip

__all__ = [
    "FORMATS", "NULL", "TABLES", "CellPlan", "ComparisonPlan", "FigurePlan", "Format", "Kappa",
    "Paired", "Paper", "Published", "Table", "Verdict", "Verdicts", "agreement",
    "baseline_conditioned_rates", "breakdown", "cells", "claim_tests", "claims",
    "cluster_interval", "comparisons", "counted", "disagreements", "kappa", "load_paper", "paired",
    "place", "plain_edit_shows", "predictions", "printed", "read_verdicts", "records", "report",
    "report_agreement", "report_comparisons", "report_parts", "table", "wilson",
]  # fmt: skip
