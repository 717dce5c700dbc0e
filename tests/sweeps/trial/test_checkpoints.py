"""The checkpoint that a trial goes on from: the newest whole one of its very own, in a folder and at an address."""

import os

import pytest
import torch

from stclip.config import Experiment
from stclip.training.checkpoint_file import CHECKPOINT
from sweeps.trial.checkpoints import is_checkpoint_of, newest_checkpoint

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


def test_numbers_are_compared_and_not_their_digits(place, into, tmp_path):
    for number in (999_999, 1_000_000):
        write(tmp_path, "0001", number)
    assert mark(newest_checkpoint(place, CONFIG, into)) == "0001/1000000"


@pytest.mark.parametrize("run", ["other", "0001x", "\u00b2", "1 "])
def test_a_folder_that_is_no_run_is_passed_over(place, into, tmp_path, run):
    write(tmp_path, run, 0)
    assert newest_checkpoint(place, CONFIG, into) is None


@pytest.mark.parametrize("name", ["checkpoint_", "checkpoint_x", "checkpoint_1x", "checkpoint_\u00b2"])
def test_a_folder_that_is_no_checkpoint_is_passed_over(place, into, tmp_path, name):
    write(tmp_path, "0001", 0)
    run = tmp_path / "ray" / "0001" / CONFIG.name
    (run / "checkpoint_000000").rename(run / name)
    assert newest_checkpoint(place, CONFIG, into) is None


def test_a_file_with_a_bit_changed_is_not_whole(place, into, tmp_path):
    write(tmp_path, "0001", 0)
    write(tmp_path, "0001", 1)
    path = tmp_path / "ray" / "0001" / CONFIG.name / "checkpoint_000001" / CHECKPOINT
    content = bytearray(path.read_bytes())
    content[content.index(b"0001/1")] ^= 1
    path.write_bytes(content)
    assert mark(newest_checkpoint(place, CONFIG, into)) == "0001/0"


def test_what_says_nothing_or_more_than_the_configuration_is_another_trials(tmp_path):
    path = tmp_path / CHECKPOINT
    told = CONFIG.model_dump(mode="json")
    for config, own in (({}, False), (told, True), ({**told, "later": 1}, False)):
        torch.save({"stclip": {"config": config}}, path)
        assert is_checkpoint_of(path, CONFIG) == own


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
    data = CONFIG.data.model_copy(update={"dataset": "/elsewhere/slides", "root": tmp_path / "elsewhere"})
    trainer = CONFIG.trainer.model_copy(update={"threads": 4})
    assert is_checkpoint_of(path, CONFIG.model_copy(update={"data": data, "trainer": trainer}))
    smaller = CONFIG.data.model_copy(update={"batch_size": CONFIG.data.batch_size + 1})
    assert not is_checkpoint_of(path, CONFIG.model_copy(update={"data": smaller}))
