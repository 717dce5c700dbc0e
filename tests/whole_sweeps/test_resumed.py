"""A sweep that goes on after any interruption: nothing lost, nothing rerun, the same table, one trial at a time or several."""

import json
import os
import random
import shutil
import signal

import pytest
import yaml

from stclip.errors import ConfigError, InputError
from sweeps.driver.finish import keep_winners
from sweeps.planning.command_line import make_parser
from sweeps.planning.resume import plan_to_resume
from sweeps.results.folder import ResultsFolder
from tests.whole_sweeps.kept import (
    families,
    files_to_cut,
    finished,
    recorded,
    section,
    table,
    trained_in,
    try_to_resume,
)
from tests.whole_sweeps.moments import Moment
from tests.whole_sweeps.prometheus import differences, scrape
from tests.whole_sweeps.readings import check_nothing_of_test_is_shown, check_second_reading
from tests.whole_sweeps.sweep_runner import BOTH, rows_of

pytestmark = pytest.mark.slow
TRIALS, EPOCHS, SEEDS = 12, 6, 2  # the last two of a family are TPE's
RULE = {"first_rung": 2, "factor": 2}
LAG = 2  # so that of three trials at once one waits now and then
FLAGS = ("--max-concurrent", "1", "--seed", "3", "--confirm-configs", "1", "--confirm-seeds", str(SEEDS))
# A trial with half a processor has one thread, as one with a whole processor has.
SIDE_BY_SIDE = (*FLAGS, "--max-concurrent", "3", "--cpus-per-trial", "0.5")

# Moments at which a driver is killed. The numbers of calls are those of one process.
RAY_STARTS = Moment("sweeps.cluster.private_ray:start_local_ray", "kill")
CHECKPOINT = Moment(
    "ray.train._internal.storage:StorageContext.persist_current_checkpoint", "kill", 3, "after"
)
HALF_A_REPORT = Moment("optuna.trial:Trial.report", "kill", 10)  # its metrics are written, its value is not
UNTOLD = Moment("optuna.study:Study.tell", "kill", 3)
TEST_SLIDES_READ = Moment("sweeps.search.family_search:FamilySearch.tested", "kill", 2)
HALF_A_COPY = Moment("sweeps.results.mirror:Mirror._send", "kill", 4)
NO_REPORT_YET = Moment("sweeps.results.folder:ResultsFolder.write_summary", "kill", 1, "after")
EACH_EPOCH = {"STCLIP_TEST_CHECKPOINTS": "1"}


@pytest.fixture(scope="module")
def space(runner):
    return runner.space("killed", BOTH, TRIALS, EPOCHS, RULE, LAG)


@pytest.fixture(scope="module")
def unbroken(runner, space):
    ended = runner.run(space, "unbroken", *FLAGS, "--quiet")
    assert (ended.left, ended.err) == ([], "")
    return ended


def test_quiet_prints_only_the_end(unbroken):
    assert unbroken.out.startswith("Sweep complete after ")
    assert "COMPLETE" not in unbroken.out


# -- killing the driver


def test_a_driver_killed_at_any_moment_loses_nothing_and_reruns_nothing(runner, space, unbroken, make_hooks):
    """`benchmarks/kill_driver.py` asks for more kills, at moments drawn at random, over as many sweeps as that takes."""
    wanted = int(os.environ.get("STCLIP_KILLS", "0"))
    if not wanted:
        # Between two writes: tests/sweeps/search/test_family_search_kills.py.
        moments = [
            RAY_STARTS,
            CHECKPOINT,
            TEST_SLIDES_READ,
        ]
        assert kill_and_compare(runner, space, unbroken, "killed", moments, make_hooks) == len(moments)
    rng = random.Random(int(os.environ.get("STCLIP_KILL_SEED", "11")))
    kills = sweeps = 0
    while kills < wanted:
        sweeps += 1
        moments = [random_moment(rng) for _ in range(min(5, wanted - kills))]
        kills += kill_and_compare(runner, space, unbroken, f"killed{sweeps}", moments, make_hooks)
        print(f"{kills} kills in {sweeps} sweeps, all as the unbroken one")


def random_moment(rng):
    moment = rng.choice([RAY_STARTS, CHECKPOINT, HALF_A_REPORT, UNTOLD, TEST_SLIDES_READ, NO_REPORT_YET])
    return moment if moment.call == 1 else moment._replace(call=rng.randint(1, 3 * moment.call))


def test_a_killed_sweep_goes_on_from_its_address_alone(runner, space, unbroken, make_hooks):
    """Each driver has a cache of its own, as if it were on another machine: what it knows, it has from the address."""
    moments = [HALF_A_COPY, NO_REPORT_YET]
    assert kill_and_compare(runner, space, unbroken, "at-address", moments, make_hooks, scheme="file://") == 2
    for cache in runner.folder.glob("cache-*"):
        lent = [sorted(path.name for path in home.iterdir()) for home in (cache / "sweeps").iterdir()]
        assert lent in ([], [["at-address", "in use"]])


def kill_and_compare(runner, space, unbroken, name, moments, make_hooks, scheme=""):
    """One sweep of trials side by side, killed at each moment in turn and resumed, against the unbroken one, whose trials
    came one after another. Returns the kills."""
    folder = runner.results / name
    known: dict[int, dict] = {}
    kills = 0

    def environment(*moments):
        cache = {"STCLIP_CACHE": str(runner.folder / f"cache-{name}-{kills}")} if scheme else {}
        return make_hooks().environment(*moments, **EACH_EPOCH, **cache)

    process = runner.start(space, name, *SIDE_BY_SIDE, "--results", f"{scheme}{runner.results}",
                           environment=environment(*moments[:1]))  # fmt: skip
    while kills < len(moments) and runner.was_killed(process):
        kills += 1
        known[max(trained_in(folder), default=0)] = finished(folder)
        log = f"{name}-{kills}"
        process = runner.resume(
            f"{scheme}{folder}", log, environment=environment(*moments[kills : kills + 1])
        )
    ended = runner.end(process, folder)
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


# -- Ctrl-C


def test_ctrl_c_in_the_search_and_in_the_confirmation_then_resume_ends_as_the_unbroken_sweep(
    runner, space, unbroken, make_hooks
):
    stopped = check_stopped_search(runner, space, make_hooks())
    taken = runner.run(space, "stopped", *FLAGS, code=2)
    assert (
        f"already holds an unfinished sweep; go on with it by: python sweeps/run.py --resume {stopped}"
        in taken.err
    )

    # The confirmation's first training has ended; its second has started and does not end.
    to_go = 2 * TRIALS - len(finished(stopped))
    in_confirmation = Moment(
        "sweeps.driver.hang_watch:HangWatch.on_trial_start", "interrupt", to_go + 2, "after"
    )
    second = f"{unbroken.summary()['families']['clip']['best']['name']}-confirm-0"
    environment = make_hooks().environment(in_confirmation, faults={second: "hang"})
    process = runner.resume(stopped, "stopped-again", environment=environment)
    ended = runner.end(process, stopped, code=1)  # one family has been confirmed, the other has not
    assert ended.summary()["status"] == "interrupted"
    assert "confirming: the best configuration of each family again with 2 fresh seeds" in ended.out
    states = [row["state"] for row in rows_of(stopped / "confirm.csv")]
    assert (states.count("COMPLETE"), states.count("RUNNING")) == (1, 1)
    done = [row["name"] for row in rows_of(stopped / "confirm.csv") if row["state"] == "COMPLETE"]
    check_nothing_of_test_is_shown(ended)

    ended = runner.end(runner.resume(stopped, "stopped-on"), stopped)
    assert ended.left == []
    assert table(ended) == table(unbroken)
    assert families(ended) == families(unbroken)
    assert f"{done[0]} COMPLETE" not in ended.out
    assert [one["how"][:11] for one in ended.summary()["interruptions"]] == ["interrupted"] * 2
    # Cut off and gone on with: one reading.
    assert [one["run"] for one in ended.summary()["test_reads"]] == [2]
    assert section(ended.report(), "Verdict") == section(unbroken.report(), "Verdict")


def check_stopped_search(runner, space, hooks):
    """Ctrl-C while the fifth trial is held before its first epoch; returns the sweep's folder."""
    fifth = Moment("sweeps.trial.run_trial:fit", "hold", 5)
    # Ten times as often as it is.
    environment = hooks.environment(fifth, RAY_metrics_report_interval_ms="1000")
    process = runner.start(space, "stopped", *FLAGS, environment=environment)
    runner.wait_until(hooks.held, process)
    folder = runner.results / "stopped"
    second = runner.end(runner.resume(folder, "second"), folder, code=2)
    assert "another process" in second.err and second.err.count("\n") == 1, second.err
    check_prometheus(runner, process, folder)

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the foreground group
    runner.wait_until(lambda: "interrupted; stopping the running trials" in runner.output("stopped"), process)
    hooks.release()
    ended = runner.end(process)
    assert (ended.left, ended.err) == ([], "")
    summary, rows = ended.summary(), ended.rows()
    assert summary["status"] == "interrupted"
    assert "interrupted after" in ended.report()
    assert "Sweep interrupted after" in ended.out
    assert f"python sweeps/run.py --resume {folder}" in ended.out
    cut_off = [row["name"] for row in rows if row["state"] == "RUNNING"]
    assert cut_off == ["spatial-0002"] and len(rows) == 5
    assert {family: entry["trials"]["running"] for family, entry in summary["families"].items()} == {
        "spatial": 1,
        "clip": 0,
    }
    states = {family: [r["state"] for r in rows if r["family"] == family] for family in ("spatial", "clip")}
    assert ended.states() == states
    assert not (folder / "confirm.csv").exists()  # the test slides are read by nobody
    return folder


def check_prometheus(runner, process, folder):
    """While nothing moves, the numbers at Ray's endpoint become those of the record."""
    ray = runner.ray(process)
    records = recorded(folder)
    assert {record.name for record in records if record.state == "RUNNING"} == {"spatial-0002"}
    runner.wait_until(lambda: not differences(scrape(ray), records, "stopped", BOTH), process)


# -- damaged folders


def test_each_file_cut_short_is_an_error_that_says_what_to_do_or_a_right_result(runner, unbroken, tmp_path):
    """Half of each file is cut away in turn; the sweep then goes on for nothing (its budget is used up)."""
    refused = {}
    names = files_to_cut(unbroken.folder)
    assert {"sweep.yaml", "study.db", "trials.csv", "summary.json", "report.md", "confirm.csv"} <= set(names)
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        shutil.copytree(unbroken.folder, folder)
        path = folder / name
        os.truncate(path, path.stat().st_size // 2)
        answer = try_to_resume(folder)
        if answer is not None:
            refused[name] = answer
    assert set(refused) == {"sweep.yaml", "study.db", "test_reads.json"}
    for answer in refused.values():
        assert "--name" in answer or "copy" in answer or "again" in answer, answer

    # All others at once: none of them decides anything, while each winner's checkpoint is left in one place. The finished
    # sweep goes on with a larger budget, and what was finished stays as it was. That the test slides were read is known
    # without test_reads.json too.
    folder = runner.results / "cut"
    shutil.copytree(unbroken.folder, folder)
    (folder / "test_reads.json").unlink()
    before = finished(folder)
    for name in names:
        if name not in refused and not name.startswith("best/"):
            os.truncate(folder / name, (folder / name).stat().st_size // 2)
    ended = runner.end(
        runner.resume(folder, "cut", "--trials", str(TRIALS + 1), "--confirm-seeds", str(SEEDS + 1))
    )
    assert [row for row in table(ended) if int(row["trial"]) < TRIALS] == table(unbroken)
    assert {name: finished(folder)[name] for name in before} == before
    assert len(finished(folder)) == 2 * (TRIALS + 1)
    assert not trained_in(folder)[2] & before.keys()  # none rerun
    sweep = yaml.safe_load((folder / "sweep.yaml").read_text())
    assert (sweep["space"]["trials"], sweep["budget"]["trials_per_family"]) == (TRIALS + 1, TRIALS + 1)
    summary = ended.summary()
    assert summary["status"] == "complete"
    for family, entry in summary["families"].items():
        of_all = max(float(row["val/R@10"]) for row in ended.rows() if won(row, family))
        assert entry["best"]["val"]["R@10"] == of_all
    check_second_reading(ended, unbroken, TRIALS + 1, SEEDS + 1)
    # The run was complete, which is no interruption; only that its file is damaged is told.
    assert [one["how"] for one in summary["interruptions"]] == ["not known: 0001.json is damaged"]


def won(row, family):
    return row["family"] == family and row["state"] == "COMPLETE"


def test_a_winner_without_a_whole_checkpoint_says_how_to_train_it_again(unbroken, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(unbroken.folder, folder)
    for path in folder.rglob("*.ckpt"):
        os.truncate(path, path.stat().st_size // 2)
    plan = plan_to_resume(make_parser().parse_args(["--resume", str(folder)]))
    winner = max(
        (r for r in finished(folder).values() if r.family == "clip" and r.state == "COMPLETE"),
        key=lambda r: r.metrics["val/R@10"],
    )
    with pytest.raises(
        InputError, match=r"no readable checkpoint of clip-\d+, the winner of clip.*train it again: "
    ):
        keep_winners(plan, ResultsFolder(folder), {"clip": winner})


@pytest.mark.parametrize("name", ["study.db", "sweep.yaml"])
def test_a_folder_without_its_record_never_starts_afresh(runner, unbroken, name):
    folder = runner.results / f"without-{name}"
    shutil.copytree(unbroken.folder, folder)
    (folder / name).unlink()
    before = sorted(p.name for p in folder.iterdir() if p.name != "driver.lock")
    ended = runner.end(runner.resume(folder, f"without-{name}"), folder, code=2)
    assert name in ended.err and ended.err.count("\n") == 1
    assert sorted(p.name for p in folder.iterdir() if p.name != "driver.lock") == before


def test_flags_that_contradict_sweep_yaml_are_listed(unbroken, space):
    def resume(*arguments):
        return plan_to_resume(make_parser().parse_args(["--resume", str(unbroken.folder), *arguments]))

    def refused(*arguments):
        with pytest.raises(ConfigError, match=r"sweep\.yaml there decides") as caught:
            resume(*arguments)
        return str(caught.value)

    assert "--seed 4, there 3" in refused("--seed", "4")
    text = refused("--seed", "4", "--epochs", "9", "--trials", "2")
    assert "--epochs 9, there 6" in text and "--trials 2, there 12 (it may grow, not shrink)" in text
    assert resume("--confirm-seeds", "7").confirm_seeds == 7  # there 2
    assert "--set optimizer.lr=0.5" in refused("--set", "optimizer.lr=0.5")
    assert "there searched" in refused("--set", "model.temperature=0.1")
    plan = resume("--seed", "3", "--space", str(space), "--trials", "20")
    assert (plan.seed, plan.space.trials, plan.resumed) == (3, 20, True)
    assert json.loads((unbroken.folder / "summary.json").read_text())["status"] == "complete"
