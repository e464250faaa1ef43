"""What the pages of the book show of verdicts: tables, predictions, known answers, disagreements.

>>> from fluxlens import pages
>>> pages.table("2", {study.name: study.verdicts for study in studies})

Every table stands in a notebook beside the pictures it counts, prints as plain words, and puts the
paper's numbers, marked as such, beside those of the models on the page. `control_figures` shows
what `known_answers` reads; `prediction_tables` what was expected and what became of it.
"""

from fluxlens.pages import control_figures, known_answers, prediction_tables
from fluxlens.pages.book_tables import (
    by_group,
    called,
    claims,
    compared,
    found,
    rows,
    table,
    where_shown,
)  # fmt: skip
from fluxlens.pages.disagreements import disagreements_page, show_disagreements

__all__ = [
    "by_group", "called", "claims", "compared", "control_figures", "disagreements_page", "found",
    "known_answers", "prediction_tables", "rows", "show_disagreements", "table", "where_shown",
]  # fmt: skip
