"""A run that is killed again and again ends where an undisturbed one does."""

from __future__ import annotations

from study_kills import kill


def test_killed_and_resumed_it_ends_the_same(tmp_path):
    outcome = kill(kills=4, limit=3, work=tmp_path)
    assert outcome.complaints == ()
    assert len(outcome.beside) >= 3  # one may come when all is done
