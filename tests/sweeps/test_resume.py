"""A sweep that goes on after any interruption: nothing lost, nothing rerun, and the same table in the end."""

import json
import os
import random
import shutil
import signal
import time

import pytest
import yaml

from stclip.errors import ConfigError, InputError
from sweeps.arguments import make_parser
from sweeps.results import ResultsFolder
from sweeps.resume import plan_to_resume
from tests.sweeps.sweep_runner import CLIP, PATIENCE, SPATIAL

TRIALS, EPOCHS = 8, 6  # 16 trials, above the startup points of a family
RULE = {"first_rung": 2, "factor": 2}
slow = pytest.mark.slow


# -- killing the driver


@pytest.fixture(scope="module")
def space(runner):
    return runner.space("killed", {"spatial": SPATIAL, "clip": CLIP}, TRIALS, EPOCHS, RULE)


@pytest.fixture(scope="module")
def unbroken(runner, space):
    ended = runner.run(space, "unbroken", "--max-concurrent", "1", "--seed", "3")
    assert ended.code == 0, ended.out + ended.err
    return ended


def table(ended):
    """trials.csv without what depends on the clock."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in ended.rows()]


def families(ended):
    """The summary's families without what depends on the clock."""
    tree = ended.summary()["families"]
    for entry in tree.values():
        entry["best"].pop("seconds")
    return tree


def finished(folder):
    """name -> row, of the trials whose end the study knows."""
    from sweeps.search import FamilySearch
    from sweeps.space import SearchSpace
    from sweeps.study_file import study_storage

    if not (folder / "study.db").is_file():
        return {}
    space = SearchSpace.model_validate(yaml.safe_load((folder / "sweep.yaml").read_text())["space"])
    records = FamilySearch(space, study_storage(folder / "study.db"), 3).snapshot()
    return {record.name: record for record in records if record.state != "RUNNING"}


def kill_at_a_random_moment(process, folder, rng):
    """SIGKILL to the driver alone: while Ray starts, or within some seconds of its first trial's. False: it had ended."""
    runs = len(list((folder / "runs").glob("*.json"))) if (folder / "runs").is_dir() else 0
    started = time.monotonic()
    if rng.random() < 0.2:
        delay = rng.uniform(0, 8)
    else:
        number = runs + 1
        while process.poll() is None and not any((folder / "ray" / f"{number:04d}").glob("*-0*")):
            assert time.monotonic() - started < PATIENCE
            time.sleep(0.02)
        delay = rng.uniform(0, 6)
    try:
        process.wait(delay)
        return False
    except Exception:
        process.kill()
        process.wait()
        return True


def trained_in(folder):
    """Run of the driver -> the trials that it gave to Ray."""
    return {
        int(path.name): {trial.name for trial in path.iterdir() if trial.is_dir()}
        for path in sorted((folder / "ray").glob("[0-9]*"))
    }


@slow
def test_a_driver_killed_at_random_moments_loses_nothing_and_reruns_nothing(runner, space, unbroken):
    """4 kills here; `benchmarks/kill_driver.py` asks for more, over as many sweeps as that takes."""
    rng = random.Random(int(os.environ.get("STCLIP_KILL_SEED", "11")))
    wanted = int(os.environ.get("STCLIP_KILLS", "4"))
    kills = sweeps = 0
    while kills < wanted:
        sweeps += 1
        kills += kill_and_compare(runner, space, unbroken, f"killed{sweeps}", rng, wanted - kills)
        print(f"{kills} kills in {sweeps} sweeps, all as the unbroken one")


@slow
def test_a_killed_sweep_goes_on_from_its_address_alone(runner, space, unbroken):
    """Each driver has a cache of its own, as if it were on another machine: what it knows, it has from the address."""
    kills = kill_and_compare(runner, space, unbroken, "at-address", random.Random(5), 2, scheme="file://")
    assert kills == 2
    for cache in runner.folder.glob("cache-*"):
        lent = list((cache / "sweeps").iterdir())
        assert [path.name for home in lent for path in home.iterdir()] in (
            [],
            ["in use", "at-address"],
            ["at-address", "in use"],
        )


def kill_and_compare(runner, space, unbroken, name, rng, most, scheme=""):
    """One sweep, killed and resumed up to `most` times, against the unbroken one. Returns the kills."""
    folder = runner.results / name
    kills, log = 0, name
    known: dict[int, dict] = {}

    def begin():
        flags = ("--max-concurrent", "1", "--seed", "3", "--results", f"{scheme}{runner.results}")
        return runner.start(space, name, *flags, environment=own_cache())

    def own_cache():
        return {"STCLIP_CACHE": str(runner.folder / f"cache-{name}-{kills}")} if scheme else {}

    process = begin()
    while kills < most and kill_at_a_random_moment(process, folder, rng):
        kills += 1
        if (folder / "sweep.yaml").is_file():
            known[max(trained_in(folder), default=0)] = finished(folder)
            log = f"{name}-{kills}"
            process = runner.resume(f"{scheme}{folder}", log, environment=own_cache())
        else:  # before there was anything to go on with
            process = begin()
    ended = runner.end(process, log)
    ended.folder = folder
    assert ended.code == 0, ended.out + ended.err
    assert table(ended) == table(unbroken)
    assert families(ended) == families(unbroken)
    last = finished(folder)
    for run, before in known.items():
        assert {trial: last[trial] for trial in before} == before  # kept as they were, down to their seconds
        for later, names in trained_in(folder).items():
            assert later <= run or not names & before.keys()  # none rerun
    report, whole = ended.report(), unbroken.report()
    assert ("## Interruptions" in report and "the driver was killed" in report) == bool(known)
    assert "## Interruptions" not in whole
    assert section(report, "Families") == section(whole, "Families")
    assert section(report, "Verdict") == section(whole, "Verdict")
    return kills


def section(report, title):
    return report.partition(f"## {title}\n")[2].partition("\n## ")[0]


@slow
@pytest.mark.long
def test_a_finished_sweep_goes_on_with_a_larger_budget_and_only_then(runner, space, unbroken):
    folder = runner.results / "grown"
    shutil.copytree(unbroken.folder, folder)
    before = finished(folder)
    tree = (folder / "summary.json").read_text()
    ended = runner.end(runner.resume(folder, "same"), "same")
    assert ended.code == 0, ended.err
    again = json.loads((folder / "summary.json").read_text())
    assert again["families"] == json.loads(tree)["families"] and again["interruptions"] == []
    ended = runner.end(runner.resume(folder, "more", "--trials", str(TRIALS + 1)), "more")
    ended.folder = folder
    assert ended.code == 0, ended.out + ended.err
    states = ended.states()
    assert {family: len(own) for family, own in states.items()} == {"spatial": TRIALS + 1, "clip": TRIALS + 1}
    assert {name: finished(folder)[name] for name in before} == before
    sweep = yaml.safe_load((folder / "sweep.yaml").read_text())
    assert (sweep["space"]["trials"], sweep["budget"]["trials_per_family"]) == (TRIALS + 1, TRIALS + 1)


@slow
@pytest.mark.long
def test_ctrl_c_then_resume_ends_as_the_unbroken_sweep_does(runner, space, unbroken):
    process = runner.start(space, "stopped", "--max-concurrent", "1", "--seed", "3")
    runner.wait_for("COMPLETE", process, "stopped")
    os.killpg(process.pid, signal.SIGINT)
    stopped = runner.end(process, "stopped")
    assert stopped.summary()["status"] == "interrupted"
    assert f"python sweeps/run.py --resume {stopped.folder}" in stopped.out
    taken = runner.run(space, "stopped", "--seed", "3")
    assert taken.code == 2
    assert (
        f"already holds an unfinished sweep; go on with it by: python sweeps/run.py --resume {stopped.folder}"
        in taken.err
    )
    ended = runner.end(runner.resume(stopped.folder, "stopped-on"), "stopped-on")
    ended.folder = stopped.folder
    assert ended.code == 0, ended.out + ended.err
    assert table(ended) == table(unbroken)
    assert ended.summary()["interruptions"][0]["how"].startswith("interrupted")


# -- damaged folders


def files_to_cut(folder):
    """Every file but the trials' logs and the lock; of Ray's own folder what has a content that could be read."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return [
        name for name in names
        if (name.startswith("ray/") and name.endswith((".ckpt", ".json", ".pkl")))
        or not name.startswith(("ray/", "trials/", "driver.lock"))
    ]  # fmt: skip


@slow
def test_each_file_cut_short_is_an_error_that_says_what_to_do_or_a_right_result(
    runner, space, unbroken, tmp_path
):
    """Half of each file is cut away in turn; the sweep then goes on for nothing (its budget is used up)."""
    right = families(unbroken)
    outcomes = {}
    names = files_to_cut(unbroken.folder)
    assert {"sweep.yaml", "study.db", "trials.csv", "summary.json", "report.md"} <= set(names)
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        shutil.copytree(unbroken.folder, folder)
        path = folder / name
        os.truncate(path, path.stat().st_size // 2)
        answer = try_to_resume(folder)
        if answer is None:
            continue  # accepted before Ray starts; what follows is seen below
        outcomes[name] = answer
        assert "--name" in answer or "copy" in answer or "again" in answer, answer
    assert set(outcomes) == {"sweep.yaml", "study.db"}
    # All others at once: none of them decides anything.
    folder = runner.results / "cut"
    shutil.copytree(unbroken.folder, folder)
    for name in names:
        if name not in outcomes:
            os.truncate(folder / name, (folder / name).stat().st_size // 2)
    ended = runner.end(runner.resume(folder, "cut"), "cut")
    ended.folder = folder
    if ended.code == 0:
        assert families(ended) == right
    else:
        assert "Traceback" not in ended.err and "train it again" in ended.err, ended.err


def try_to_resume(folder):
    """The error that the driver would print before it starts Ray; None without one."""
    from sweeps.records import recorded_names
    from sweeps.resume import check_record
    from sweeps.search import FamilySearch
    from sweeps.study_file import check_study_file, study_storage

    results = ResultsFolder(folder)
    try:
        plan = plan_to_resume(make_parser().parse_args(["--resume", str(folder)]))
        check_study_file(results.study_db)
        FamilySearch(plan.space, study_storage(results.study_db), plan.seed)
        check_record(results, recorded_names(study_storage(results.study_db)))
    except InputError as error:
        return str(error)
    return None


@slow
@pytest.mark.parametrize("name", ["study.db", "sweep.yaml"])
def test_a_folder_without_its_record_never_starts_afresh(runner, unbroken, name):
    folder = runner.results / f"without-{name}"
    shutil.copytree(unbroken.folder, folder)
    (folder / name).unlink()
    before = sorted(p.name for p in folder.iterdir())
    ended = runner.end(runner.resume(folder, f"without-{name}"), f"without-{name}")
    assert ended.code == 2, ended.out + ended.err
    assert name in ended.err and ended.err.count("\n") == 1
    assert sorted(p.name for p in folder.iterdir() if p.name != "driver.lock") == [
        n for n in before if n != "driver.lock"
    ]


@slow
def test_flags_that_contradict_sweep_yaml_are_listed(unbroken, space):
    def refused(*arguments):
        with pytest.raises(ConfigError) as caught:
            plan_to_resume(make_parser().parse_args(["--resume", str(unbroken.folder), *arguments]))
        assert "sweep.yaml there decides" in str(caught.value)
        return str(caught.value)

    assert "--seed 4, there 3" in refused("--seed", "4")
    text = refused("--seed", "4", "--epochs", "9", "--trials", "2")
    assert "--epochs 9, there 6" in text and "--trials 2, there 8 (it may grow, not shrink)" in text
    more = plan_to_resume(
        make_parser().parse_args(["--resume", str(unbroken.folder), "--confirm-seeds", "7"])
    )
    assert more.confirm_seeds == 7  # there 0
    assert "--set optimizer.lr=0.5" in refused("--set", "optimizer.lr=0.5")
    assert "there searched" in refused("--set", "model.temperature=0.1")
    plan = plan_to_resume(
        make_parser().parse_args(
            ["--resume", str(unbroken.folder), "--seed", "3", "--space", str(space), "--trials", "20"]
        )
    )
    assert (plan.seed, plan.space.trials, plan.resumed) == (3, 20, True)


def test_resume_of_what_is_no_sweep(tmp_path):
    with pytest.raises(InputError, match=r"not a sweep's results folder: it has no sweep\.yaml"):
        plan_to_resume(make_parser().parse_args(["--resume", str(tmp_path)]))


@slow
def test_two_drivers_cannot_work_on_one_folder(runner, space):
    process = runner.start(space, "held", "--max-concurrent", "1")
    runner.wait_for("dashboard", process, "held")
    folder = runner.results / "held"
    second = runner.end(runner.resume(folder, "second"), "second")
    assert second.code == 2 and "another" in second.err, second.err
    process.kill()
    process.wait()
