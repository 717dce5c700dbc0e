"""Each trial's log file: what is in it, and what becomes of one that cannot be written."""

import pytest

from stclip.config import Experiment
from stclip.errors import InputError
from stclip.files.guarded_folder import LinkError
from sweeps.trial.log import epoch_line, log_start, ray_log_folder, trial_log

SETTINGS = {"model.temperature": 0.0712345, "optimizer.lr": 0.001}


def test_a_complete_trials_file_has_its_start_and_its_end(tmp_path):
    with trial_log(tmp_path, "spatial-0007") as log:
        log_start(log, Experiment(seed=5), SETTINGS, "/r/trials/spatial-0007")
        log.info(epoch_line(3, {"val/R@10": 0.41234, "train/loss": 3.2114}, 1.239))
    lines = [line.split("] ", 1)[1] for line in (tmp_path / "spatial-0007.log").read_text().splitlines()]
    assert lines[0] == "starts: temperature=0.07123, lr=0.001"
    assert lines[1].startswith("seed 5, ")
    assert lines[2:] == [
        "files in /r/trials/spatial-0007",
        "epoch 3: val/R@10 0.412, train/loss 3.211, 1.24 s",
        "complete",
    ]


def test_a_failed_trials_file_ends_with_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="no such tile"), trial_log(tmp_path, "a-0000"):
        raise ValueError("no such tile")
    text = (tmp_path / "a-0000.log").read_text()
    assert "failed: ValueError: no such tile" in text
    assert "Traceback (most recent call last)" in text
    assert "test_log.py" in text


def test_a_stopped_trials_file_says_so(tmp_path):
    with pytest.raises(SystemExit), trial_log(tmp_path, "a-0000"):
        raise SystemExit
    assert (
        (tmp_path / "a-0000.log")
        .read_text()
        .endswith("stopped by the sweep: pruned, or the whole sweep was stopped\n")
    )


def test_a_trial_that_goes_on_goes_on_in_its_file(tmp_path):
    for _ in range(2):
        with trial_log(tmp_path, "a-0000"):
            pass
    assert (tmp_path / "a-0000.log").read_text().count("complete") == 2


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".a", "a\nb", "a" * 201])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="names its log file"), trial_log(tmp_path, name):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, capsys):
    with trial_log(tmp_path / "absent", "a-0000") as log:
        log.info("goes nowhere")
    assert "no log file for trial a-0000" in capsys.readouterr().err


def test_without_ray_there_is_no_folder_and_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ray_log_folder() is None
    with trial_log(None, "a-0000") as log:
        log.info("goes nowhere")
    assert list(tmp_path.iterdir()) == []


def test_an_epochs_missing_metrics_show_as_a_dash():
    assert epoch_line(1, {}, 0.5) == "epoch 1: val/R@10 -, train/loss -, 0.50 s"


def test_a_log_is_in_the_trials_own_folder_too_whole(tmp_path):
    own = tmp_path / "results" / "trials" / "a-0000"
    (tmp_path / "results").mkdir()
    for _ in range(2):  # the second goes on after the first
        with pytest.raises(ValueError, match="no such tile"), trial_log(tmp_path, "a-0000", str(own)) as log:
            log.info("epoch 1")
            raise ValueError("no such tile")
    text = (own / "trial.log").read_text()
    assert text == (tmp_path / "a-0000.log").read_text()
    assert text.count("epoch 1") == text.count("Traceback") == 2


def test_a_log_at_an_address_is_sent_whole_and_goes_on(tmp_path):
    place = f"file://{tmp_path}/results/trials/a-0000"
    for number in range(2):
        with pytest.raises(ValueError, match="no such tile"), trial_log(None, "a-0000", place) as log:
            log.info("epoch %d", number)
            raise ValueError("no such tile")
    text = (tmp_path / "results/trials/a-0000/trial.log").read_text()
    assert text.count("Traceback") == 2 and "epoch 0" in text and "epoch 1" in text


def test_a_log_is_sent_while_the_trial_runs(tmp_path):
    with trial_log(None, "a-0000", f"file://{tmp_path}/a") as log:
        log.info("starts")
        # Of a process that is killed later there is something.
        assert "starts" in (tmp_path / "a/trial.log").read_text()


@pytest.mark.parametrize("own", [True, False])
def test_a_log_follows_no_link(tmp_path, capsys, own):
    target = tmp_path / "of_somebody"
    target.write_text("mine\n")
    place = tmp_path / "results" / "trials" / "a-0000"
    place.mkdir(parents=True)
    (place / "trial.log" if own else tmp_path / "a-0000.log").symlink_to(target)
    if own:
        with (
            pytest.raises(LinkError, match="trial.log: is a link"),
            trial_log(tmp_path, "a-0000", str(place)),
        ):
            pass
    else:
        with trial_log(tmp_path, "a-0000", str(place)) as log:
            log.info("epoch 1")
        assert "no log file for trial" in capsys.readouterr().err
        assert "epoch 1" in (place / "trial.log").read_text()
    assert target.read_text() == "mine\n"
