"""Batches through the real SDK, killed and resumed, end with the oracle's own verdicts."""

from __future__ import annotations

from judge_kills import kill

from fluxlens.judge.questions import load_questions
from fluxlens.mini.drawings import Solid, StillLife
from fluxlens.mini.world import COLORS, NO_FREE
from fluxlens.study.paths import judged

LIMIT = 3


def test_killed_and_resumed_every_question_has_the_oracles_verdict(tmp_path):
    colors = list(COLORS.values())
    for question in load_questions().values():
        for images in list(judged(tmp_path / "mini", question, "mini").values())[:LIMIT]:
            for role, path in images.items():
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    color = colors[len(path.stem) % len(colors)]
                    drawing = Solid(color) if "reference" in role else StillLife("mug", color)
                    drawing.draw(NO_FREE).save(path)
    outcome = kill(tmp_path, kills=3, limit=LIMIT)
    assert outcome.complaints == ()
    assert outcome.verdicts == 28 * LIMIT
    assert outcome.kills >= 2  # one may come when all is done
