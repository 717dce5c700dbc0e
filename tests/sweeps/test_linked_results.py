"""A results folder of somebody else whose links lead to files of the person who goes on with it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from stclip.config import Experiment
from stclip.data.store import open_store
from stclip.errors import ConfigError, InputError
from stclip.files.guarded_folder import LinkError
from stclip.train import fit
from stclip.training.checkpoint_file import CHECKPOINT
from sweeps import report
from sweeps.driver import sweep as launch
from sweeps.driver.finish import keep_winners
from sweeps.planning.command_line import make_parser
from sweeps.planning.resume import plan_to_resume
from sweeps.planning.sweep_yaml import describe_sweep
from sweeps.results.record import SweepRecord
from sweeps.results.records import record_of
from sweeps.trial.folder import trial_folder, write_to
from tests.sweeps.made_up import record
from tests.sweeps.results_folders import folder_of, many
from tests.sweeps.tiny_plan import results_of

TARGETS = (
    "driver.lock", "study.db", "study.db-journal", "trials.csv", "best/clip/config.yaml", f"best/clip/{CHECKPOINT}",
    f"best/clip/.{CHECKPOINT}.draft", "trials/clip-0000/config.yaml", "trials/clip-0000/error.txt", "runs/0001.json",
    "trials/clip-0000/metrics.csv", "trials/clip-0000/.metrics.csv.draft", "trials/clip-0000/hparams.yaml",
    "ray/0001/clip-0000/checkpoint_000000/checkpoint.ckpt",
)  # fmt: skip
FOLDERS = ("runs", "best", "best/clip", "trials", "trials/clip-0000", "ray", "ray/0001")


@pytest.fixture
def begun(plan_of):
    """The plan of a sweep whose folder is there, and its data."""
    plan = plan_of("--name", "begun")
    store = open_store(plan.middles()["clip"].data)
    results_of(plan).create(describe_sweep(plan, store, "python sweeps/run.py"))
    return plan, store


@pytest.fixture
def away(tmp_path):
    """A folder of the user's outside the results, with a file."""
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "profile").write_text("mine")
    return tmp_path / "away"


def record_at(plan):
    """The record of the plan's sweep, without a driver."""
    return SweepRecord(plan.place, results_of(plan), None)


def is_as_it_was(away):
    return [path.name for path in away.iterdir()] == ["profile"] and (away / "profile").read_text() == "mine"


def tree(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def link(place, target):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@pytest.fixture
def no_ray(monkeypatch):
    monkeypatch.setattr(launch, "_run", lambda *given: pytest.fail("went on"))


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("place", TARGETS + FOLDERS)
@pytest.mark.parametrize("at_address", [False, True])
def test_a_sweep_with_a_link_is_not_resumed_and_nothing_is_written(begun, away, place, at_address):
    first, store = begun
    link(Path(first.place) / place, away / "profile" if place in TARGETS else away)
    before = tree(Path(first.place))
    given = f"file://{first.place}" if at_address else first.place
    plan = plan_to_resume(make_parser().parse_args(["--resume", given, "--trials", "9"]))
    with pytest.raises(LinkError, match=rf"begun/{place}: is a link; .*remove it"):
        launch.run_sweep(plan, store, "command", quiet=True, began=0.0)
    assert is_as_it_was(away)
    assert tree(Path(first.place)) == before


@pytest.mark.parametrize("name", ["../../..", "/home", "..", "a/b", ".a", "", 7])
@pytest.mark.parametrize("at_address", [False, True])
def test_a_sealed_name_leads_nowhere_else(begun, name, at_address):
    """The driver's own folder of results at an address has the sweep's name, and is emptied first."""
    first, _ = begun
    results_of(first).write_sweep_yaml({**results_of(first).read_sweep(), "name": name})
    given = f"file://{first.place}" if at_address else first.place
    with pytest.raises(ConfigError, match="sweep.yaml: name: "):
        plan_to_resume(make_parser().parse_args(["--resume", given]))


@pytest.mark.parametrize("key", ["name", "seed", "budget", "base", "data", "space", "experiments"])
@pytest.mark.parametrize("value", [None, [], "x"])
def test_a_sealed_sweep_of_odd_values_is_refused(begun, key, value):
    first, _ = begun
    results_of(first).write_sweep_yaml({**results_of(first).read_sweep(), key: value})
    if (key, value) == ("name", "x"):
        value = "x/"
        results_of(first).write_sweep_yaml({**results_of(first).read_sweep(), key: value})
    with pytest.raises(ConfigError, match=f"sweep.yaml: {key}: "):
        plan_to_resume(make_parser().parse_args(["--resume", first.place]))


@pytest.mark.parametrize("attributes", [{"name": "../../away/x"}, {"name": "/tmp/x"}, {"name": ".."}, {"name": ["a"]},
                                        {"seconds": "x"}, {"metrics": 1}, {"seconds": float("nan")}, {"seconds": 10**400},
                                        {"metrics": {"val/R@10": "0.5"}}, {"metrics": {"val/R@10": 10**400}}, {"reason": 1},
                                        {"metrics": ["val/R@10"]}, {"test_slides": {"A": 1}},
                                        {"test_slides": {"A": {"R@10": ""}}}, {"machine": 1},
                                        {"seed": "x"}, {"seed": True}])  # fmt: skip
def test_a_study_names_no_folder_elsewhere(attributes):
    trial = optuna.trial.create_trial(value=0.5, user_attrs={"name": "clip-0000", **attributes})
    with pytest.raises(InputError, match="study.db: trial .* of clip is not as a sweep writes it"):
        record_of("clip", trial)


def test_a_study_that_optuna_cannot_decode_stops_a_resumed_sweep_in_one_line(begun):
    first, _ = begun
    launch._open_search(first, record_at(first))
    with closing(sqlite3.connect(results_of(first).study_db)) as study, study:
        study.execute("update study_user_attributes set value_json = '[1'")
    plan = plan_to_resume(make_parser().parse_args(["--resume", first.place]))
    with pytest.raises(InputError, match=r"cannot be read as the studies of a sweep \(JSONDecodeError: "):
        launch._open_search(plan, record_at(plan))


@pytest.mark.parametrize("place", ["report.html", "best/clip", "study.db-journal", "trials/x/wandb"])
def test_no_report_is_written_into_a_folder_with_a_link(tmp_path, away, capsys, place):
    folder = folder_of(tmp_path / "a", many())
    link(folder.path / place, away / "profile")
    before = tree(folder.path)
    assert report.main([str(folder.path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {folder.path / place}: is a link; ") and error.count("\n") == 1
    assert is_as_it_was(away) and tree(folder.path) == before


@pytest.mark.parametrize("place", ["best", "best/clip", "best/clip/config.yaml", f"best/clip/{CHECKPOINT}"])
def test_a_winner_is_not_kept_through_a_link(begun, away, tmp_path, monkeypatch, place):
    """Also one that was made after the folder was looked at."""
    plan, _ = begun
    checkpoint = tmp_path / "found"
    checkpoint.write_bytes(b"theirs")
    monkeypatch.setattr("sweeps.driver.finish.newest_checkpoint", lambda *given: checkpoint)
    link(Path(plan.place) / place, away if place.count("/") < 2 else away / "profile")
    with pytest.raises(LinkError, match=rf"{place}: is a link"):
        keep_winners(
            plan, results_of(plan), {"clip": record("clip", 0, "COMPLETE", {"model.temperature": 0.1}, {})}
        )
    assert is_as_it_was(away)


@pytest.mark.parametrize("place", ["trials", "trials/clip-0000", "trials/clip-0000/error.txt"])
def test_a_trials_error_is_not_written_through_a_link(tmp_path, away, place):
    results = tmp_path / "results"
    link(results / place, away / "profile" if place.endswith("txt") else away)
    write_to(str(results / "trials" / "clip-0000"), "error.txt", "theirs")
    assert is_as_it_was(away)
    with (
        pytest.raises(LinkError, match=rf"{place}: is a link"),
        trial_folder(str(results / "trials" / "clip-0000"), print),
    ):
        pytest.fail("went on")


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "hparams.yaml", CHECKPOINT, "metrics.json"])
def test_a_run_writes_nothing_through_a_link(shared_tiny_dataset: Path, tmp_path, away, name):
    data = {"dataset": str(shared_tiny_dataset), "image_size": 16}
    link(tmp_path / "run" / name, away / "profile")
    with pytest.raises(LinkError, match=rf"{name}: is a link"):
        fit(Experiment(data=data), tmp_path / "run")
    assert is_as_it_was(away) and [p.name for p in (tmp_path / "run").iterdir()] == [name]
