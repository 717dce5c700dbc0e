"""Where a person finds a running trial by its name: process titles everywhere, actors on a cluster."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from stclip.config import PROJECT_ROOT
from sweeps.records import trial_name
from sweeps.trial_actor import named_trainable
from tests.sweeps.sweep_runner import CLIP, SPATIAL

NAMES = {trial_name(family, number) for family in ("spatial", "clip") for number in range(2)}
PATIENCE = 150  # seconds


@pytest.mark.parametrize(("reuse", "shown"), [(False, "clip-0003"), (True, "clip-0003 and later trials")])
def test_an_actor_is_called_as_its_trial(reuse, shown):
    trainable = named_trainable(lambda config: None, reuse)
    actor = trainable.__new__(trainable)  # what Ray asks for the name is not yet training
    actor.config = {"name": "clip-0003"}
    assert repr(actor) == shown
    assert trainable.__qualname__ == "StclipTrial"


@pytest.mark.slow
@pytest.mark.long
def test_processes_of_a_local_sweep_bear_the_names_of_the_trials_they_run(runner):
    space = runner.space("titled", {"spatial": SPATIAL, "clip": CLIP}, trials=2, epochs=40)
    process = runner.start(space, "titled", "--max-concurrent", "1")
    seen = set()
    while process.poll() is None:
        seen |= {title.removeprefix("ray::") for title in _titles()} & NAMES
        time.sleep(0.1)
    over = runner.end(process, "titled")
    assert over.code == 0
    assert seen == NAMES


@pytest.mark.slow
@pytest.mark.long
def test_a_clusters_dashboard_lists_trials_by_name(runner, local_cluster):
    space = runner.space("listed", {"spatial": SPATIAL, "clip": CLIP}, trials=2, epochs=3)
    command = [sys.executable, "sweeps/run.py", "--space", str(space), "--results", str(runner.results)]
    over = subprocess.run(
        [*command, "--name", "listed", "--address", local_cluster.address],
        cwd=PROJECT_ROOT, env=local_cluster.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert over.returncode == 0, over.stderr
    request = urllib.request.Request(
        f"{local_cluster.dashboard}/logical/actors",
        headers={"Authorization": f"Bearer {local_cluster.token}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        actors = json.load(answer)["data"]["actors"].values()
    trials = [actor for actor in actors if actor["actorClass"] == "StclipTrial"]
    assert sorted(actor["reprName"] for actor in trials) == sorted(NAMES)


def _titles():
    """Titles of the processes that Ray has named."""
    titles = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = entry.read_text().split("\0")[0]
        except OSError:
            continue  # it has ended
        if title.startswith("ray::"):
            titles.append(title)
    return titles
