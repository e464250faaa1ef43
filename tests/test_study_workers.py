"""Several workers make one worker's pixels, and one that dies takes nothing with it."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest
from study_tools import all_levels, equal, files

from fluxlens import ModelError
from fluxlens.optional import MissingExtraError
from fluxlens.study.cells import choose
from fluxlens.study.pictures import Picture
from fluxlens.study.plan import make_plan, plan_of
from fluxlens.study.run import Settings, run
from fluxlens.study.treatments import Edit
from fluxlens.study.workers import run_with_workers
from fluxlens.tasks import mini_tasks

pytest_plugins = ["study_fixtures"]
# Ray leaves it to the operating system to reap its processes
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
QUIET = Settings(tokens=500, shown=False)
PATIENCE = 600  # seconds: a loaded machine starts processes slowly


@pytest.fixture(scope="module")
def cluster():
    """Two CPUs' worth of Ray, whatever this machine has."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: extra 'ray'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def at_work() -> list[psutil.Process]:
    """Our own workers that are making a batch at this moment."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] == ["ray::Worker.make"]:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def kill_one(root, killed: list[int]) -> None:
    """Once a few pictures are there, end a worker that is in the middle of a batch."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        busy = at_work() if len(files(root)) > 4 else []
        if busy:
            killed.append(busy[0].pid)
            busy[0].kill()
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_two_workers_one_of_them_killed_make_the_same_pixels(cluster, folder, small, tmp_path):
    plan = make_plan("mini", choose(families=["color"]), limit=6)
    alone = run(small, plan, tmp_path / "alone", QUIET)
    killed: list[int] = []
    where = tmp_path / "shared", killed
    killer = threading.Thread(target=kill_one, args=where, daemon=True)
    killer.start()
    shared = run_with_workers(
        str(folder), plan, tmp_path / "shared", QUIET, workers=2, device="cpu"
    )
    killer.join()
    assert len(killed) == 1
    assert shared.failures == ()
    assert equal(all_levels(shared.folder), all_levels(alone.folder))
    assert not (shared.folder / ".partial").exists()


@pytest.mark.slow
def test_a_batch_that_fails_twice_is_named_and_the_rest_is_made(cluster, folder, tmp_path):
    good, bad = mini_tasks("color")[0], mini_tasks("style")[0]
    long = replace(bad, instruction=" ".join(["on and on"] * 40))
    plan = plan_of("mini", [Picture.named("t2i_lens", "pad", task) for task in (good, long)])
    summary = run_with_workers(str(folder), plan, tmp_path, QUIET, workers=1, device="cpu")
    assert summary.made == 1
    (failure,) = summary.failures
    assert "style" in failure.batch
    assert "ValueError: text[pad]" in failure.error


@pytest.mark.slow
def test_what_cannot_be_loaded_or_placed_is_one_message(cluster, tmp_path):
    plan = plan_of("mini", [Picture(Edit(), mini_tasks("color")[0])])
    with pytest.raises(ModelError, match="unknown model 'mini-huge'"):
        run_with_workers("mini-huge", plan, tmp_path, QUIET, workers=1)
    with pytest.raises(ValueError, match="3 workers need a CPU each; there are 2"):
        run_with_workers("mini", plan, tmp_path, QUIET, workers=3, device="cpu")


def test_without_ray_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    plan = plan_of("mini", [Picture(Edit(), mini_tasks("color")[0])])
    with pytest.raises(MissingExtraError, match=r"need ray: pip install 'fluxlens\[ray\]'"):
        run_with_workers("mini", plan, tmp_path, QUIET, workers=2)
