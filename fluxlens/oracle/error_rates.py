"""How often the oracle is right, as measured on fresh renders of known truth and shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fluxlens.optional import optional

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).parent
# By what was measured; written by `tools.reading_accuracy` and `tools.verdict_accuracy`.
TABLES = {
    "readings": HERE / "reading_accuracy.json",
    "verdicts": HERE / "verdict_accuracy.json",
}

__all__ = ["TABLES", "accuracy"]


def accuracy(of: Literal["readings", "verdicts"]) -> pd.DataFrame:
    """Load how often the oracle reads a factor rightly, or answers a question.

    Of ``readings``: a row for each factor, with its `name`, how many pictures (`n`), and the share
    read rightly when spoilt in each way. Of ``verdicts``: a row for each `question`, `set` and
    `way` of spoiling, with how many of the `yes` were `missed`, how many of the `no` passed
    (`false_yes`), and the share of verdicts that are wrong (`error`).

    >>> accuracy("verdicts").query("way == 'clean' and error > 0.05")["question"].tolist()
    []
    """
    with optional("study", "tables of error rates"):
        import pandas as pd

    return pd.DataFrame(json.loads(TABLES[of].read_text(encoding="utf-8"))["rows"])
