"""The checkpoint that a trial goes on from: the newest whole one of its very own, in a folder and at an address."""

import os

import pytest
import torch

from stclip.config import Experiment
from stclip.train import CHECKPOINT
from sweeps.checkpoints import is_checkpoint_of, newest_checkpoint

CONFIG = Experiment(name="clip-0000", seed=5)


@pytest.fixture(params=["", "file://"])
def place(request, tmp_path):
    return f"{request.param}{tmp_path}/ray"


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder


def write(tmp_path, run, number, config=CONFIG, cut=False):
    path = tmp_path / "ray" / run / config.name / f"checkpoint_{number:06d}" / CHECKPOINT
    path.parent.mkdir(parents=True)
    torch.save({"stclip": {"config": config.model_dump(mode="json")}, "mark": f"{run}/{number}"}, path)
    if cut:
        os.truncate(path, path.stat().st_size // 2)


def mark(path):
    return torch.load(path, weights_only=True)["mark"]


def test_none(place, into, tmp_path):
    assert newest_checkpoint(place, CONFIG, into) is None
    (tmp_path / "ray" / "0001" / "clip-0000" / "checkpoint_000000").mkdir(parents=True)
    assert newest_checkpoint(place, CONFIG, into) is None


def test_the_newest_of_the_newest_run(place, into, tmp_path):
    for run, number in (("0002", 0), ("0010", 3), ("0010", 12), ("0009", 40)):
        write(tmp_path, run, number)
    assert mark(newest_checkpoint(place, CONFIG, into)) == "0010/12"


def test_a_half_one_is_passed_over(place, into, tmp_path):
    write(tmp_path, "0001", 0)
    write(tmp_path, "0001", 1, cut=True)
    assert mark(newest_checkpoint(place, CONFIG, into)) == "0001/0"


def test_another_trial_of_the_same_name_is_passed_over(place, into, tmp_path):
    write(tmp_path, "0001", 0)
    temperature = CONFIG.model.model_copy(update={"temperature": 0.3})
    write(tmp_path, "0002", 0, CONFIG.model_copy(update={"model": temperature}))
    write(tmp_path, "0003", 0, CONFIG.model_copy(update={"seed": 6}))
    assert mark(newest_checkpoint(place, CONFIG, into)) == "0001/0"


def test_data_may_move_and_another_machine_may_train(tmp_path, into):
    write(tmp_path, "0001", 0)
    path = newest_checkpoint(str(tmp_path / "ray"), CONFIG, into)
    data = CONFIG.data.model_copy(update={"dataset": "/elsewhere/slides"})
    trainer = CONFIG.trainer.model_copy(update={"threads": 4})
    assert is_checkpoint_of(path, CONFIG.model_copy(update={"data": data, "trainer": trainer}))
    smaller = CONFIG.data.model_copy(update={"batch_size": CONFIG.data.batch_size + 1})
    assert not is_checkpoint_of(path, CONFIG.model_copy(update={"data": smaller}))
