"""The confirmation: the winners again, with fresh and paired seeds, in studies of their own. No Ray process is started."""

import json
from dataclasses import replace

import optuna
import pytest
from optuna.storages import InMemoryStorage
from ray.tune.search import Searcher

from sweeps.confirm import (
    ConfirmReserve,
    ConfirmSearch,
    confirm_name,
    confirm_plan,
    confirm_seed,
    confirmed_space,
    confirmed_trial,
    find_winners,
    trainings_to_go,
)
from sweeps.records import best_record, recorded_names
from sweeps.search import FamilySearch
from sweeps.space import EarlyStopping
from sweeps.studies import training_seed
from tests.sweeps.made_up import record
from tests.sweeps.searches import FAMILIES, METRIC, make_space, run, train

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACE = make_space(trials=3, rule=EarlyStopping(first_rung=1, factor=2))
FOUND = json.dumps({"metrics": {"test/R@10": 0.5}, "slides": {"E1": {"spots": 28, "R@10": 0.5}}})


def searched(storage):
    search = FamilySearch(SPACE, storage, seed=0)
    run(search)
    return {family: best_record(search.snapshot(), family, METRIC, "max") for family in ("spatial", "clip")}


def confirm(storage, winners, seeds=2):
    return ConfirmSearch(SPACE, winners, seeds, storage, seed=0)


def finish(search, trial_id, config):
    train(search, trial_id, config, epochs=3)
    search.tested(trial_id, FOUND)
    search.on_trial_complete(trial_id, {"done": True})


def run_all(search):
    suggested = []
    while (config := search.suggest(f"t{len(suggested)}")) != Searcher.FINISHED:
        finish(search, f"t{len(suggested)}", config)
        suggested.append(config)
    return suggested


def test_every_winner_again_with_paired_seeds_that_no_search_trial_had():
    storage = InMemoryStorage()
    winners = searched(storage)
    search = confirm(storage, winners)
    suggested = run_all(search)
    names = [f"{winners[f].name}-confirm-{i}" for i in range(2) for f in ("spatial", "clip")]
    assert [s["name"] for s in suggested] == names
    assert all(s["params"] == winners[s["family"]].params and s["test"] for s in suggested)
    assert [s["seed"] for s in suggested] == [confirm_seed(0, 0)] * 2 + [confirm_seed(0, 1)] * 2
    assert not {confirm_seed(0, i) for i in range(50)} & {training_seed(0, i) for i in range(1000)}
    assert len({confirm_seed(seed, i) for seed in range(10) for i in range(50)}) == 500
    records = search.snapshot()
    assert {r.state for r in records} == {"COMPLETE"}
    assert records[0].test_slides == {"E1": {"spots": 28, "R@10": 0.5}}
    assert records[0].metrics["test/R@10"] == 0.5
    assert set(names) < recorded_names(storage) and len(recorded_names(storage)) == 10


def test_the_searchs_own_studies_are_as_they_were():
    storage = InMemoryStorage()
    winners = searched(storage)
    before = [optuna.load_study(study_name=f, storage=storage).trials for f in ("spatial", "clip")]
    run_all(confirm(storage, winners))
    assert [optuna.load_study(study_name=f, storage=storage).trials for f in ("spatial", "clip")] == before


def test_a_family_that_is_called_as_a_winner_keeps_its_study():
    families = {"clip": FAMILIES["clip"], "clip-0000": FAMILIES["clip"]}
    space, storage = make_space(trials=3, **families), InMemoryStorage()
    run(FamilySearch(space, storage, seed=0))
    winners = {"clip": FamilySearch(space, storage, seed=0).snapshot()[0]}
    search = ConfirmSearch(space, winners, 2, storage, seed=0)
    assert [config["name"] for config in run_all(search)] == ["clip-0000-confirm-0", "clip-0000-confirm-1"]


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 1)])
def test_the_winners_are_the_best_complete_trials_in_the_spaces_order(plan_of, mode, best):
    plan = plan_of("--confirm-seeds", "7")
    plan = replace(plan, space=plan.space.model_copy(update={"mode": mode}))
    values = [("COMPLETE", 0.3), ("COMPLETE", 0.2), ("COMPLETE", 0.4), ("PRUNED", 0.9), ("PRUNED", 0.1)]
    records = [
        record(family, number, state, metrics={METRIC: value})
        for family in ("clip", "spatial")
        for number, (state, value) in enumerate(values)
    ]
    winners = find_winners(plan, records)
    assert [(family, winner.number) for family, winner in winners.items()] == [
        ("spatial", best),
        ("clip", best),
    ]
    of_one = find_winners(plan, [one for one in records if one.family == "clip" or one.state == "PRUNED"])
    assert list(of_one) == ["clip"]
    own = confirm_plan(plan, of_one)
    assert (list(own.space.families), own.space.trials, own.space.mode) == (["clip"], 7, mode)


def test_all_are_of_full_length():
    winners = searched(InMemoryStorage())
    space = confirmed_space(SPACE, winners, 7)
    assert (space.trials, space.early_stopping, space.epochs) == (7, None, SPACE.epochs)
    only = confirmed_space(SPACE, {"clip": winners["clip"]}, 7)
    assert list(only.families) == ["clip"]


def test_it_goes_on_where_it_was_cut_off():
    storage = InMemoryStorage()
    winners = searched(storage)
    first = confirm(storage, winners)
    finish(first, "a", first.suggest("a"))
    cut = first.suggest("b")
    train(first, "b", cut, epochs=3)  # trained, but the test slides were not read any more
    first.interrupt("b")
    again = confirm(storage, winners)
    (adopted,) = again.adopt()
    assert adopted.name == cut["name"]
    suggested = again.suggest("c")
    assert (suggested["name"], suggested["epochs"], suggested["seed"]) == (cut["name"], 3, cut["seed"])
    finish(again, "c", suggested)
    run_all(again)
    assert len(again.snapshot()) == 4 and {r.state for r in again.snapshot()} == {"COMPLETE"}


def test_one_whose_end_was_not_written_down_is_ended():
    storage = InMemoryStorage()
    winners = searched(storage)
    first = confirm(storage, winners)
    config = first.suggest("a")
    train(first, "a", config, epochs=3)
    first.tested("a", FOUND)
    again = confirm(storage, winners)
    assert again.adopt() == []
    assert [r.state for r in again.snapshot()] == ["COMPLETE"]


def test_more_seeds_keep_those_there_are():
    storage = InMemoryStorage()
    winners = searched(storage)
    run_all(confirm(storage, winners))
    more = confirm(storage, winners, seeds=3)
    more.adopt()
    assert [s["seed"] for s in run_all(more)] == [confirm_seed(0, 2)] * 2


def test_another_winner_has_a_confirmation_of_its_own():
    storage = InMemoryStorage()
    winners = searched(storage)
    run_all(confirm(storage, winners))
    other = next(
        r for r in FamilySearch(SPACE, storage, 0).snapshot() if r.family == "clip" and r != winners["clip"]
    )
    search = confirm(storage, {**winners, "clip": other})
    assert [s["name"] for s in run_all(search)] == [f"{other.name}-confirm-{i}" for i in range(2)]


def test_one_that_did_not_read_the_test_slides_has_failed():
    storage = InMemoryStorage()
    search = confirm(storage, searched(storage))
    train(search, "a", search.suggest("a"), epochs=3)
    search.on_trial_complete("a", {"done": True})
    (record,) = search.snapshot()
    assert (record.state, record.error) == ("FAIL", "ended before it had read the test slides")


@pytest.mark.parametrize("epochs", [1, 2])
def test_one_that_ended_early_has_failed(epochs):
    storage = InMemoryStorage()
    search = confirm(storage, searched(storage))
    train(search, "a", search.suggest("a"), epochs)
    search.on_trial_complete("a", {"done": True})
    assert search.snapshot()[0].error == f"ended after {epochs} of 3 epochs without an error"


def test_trainings_that_have_not_begun_or_not_ended_are_to_go():
    storage = InMemoryStorage()
    winners = searched(storage)
    search = confirm(storage, winners)
    assert trainings_to_go(winners, search.snapshot(), 2) == 4
    finish(search, "a", search.suggest("a"))
    search.suggest("b")
    assert trainings_to_go(winners, search.snapshot(), 2) == 3
    search.fail("b", "out of memory")  # has ended too
    assert trainings_to_go(winners, search.snapshot(), 2) == 2
    run_all(search)
    assert trainings_to_go(winners, search.snapshot(), 2) == 0
    assert trainings_to_go(winners, search.snapshot(), 3) == 2


def test_a_name_of_a_training_says_whom_it_confirms():
    assert confirm_name("clip-0003", 12) == "clip-0003-confirm-12"
    assert confirmed_trial("a-confirm-1-0003-confirm-12") == "a-confirm-1-0003"


class Plan:
    def __init__(self, time_budget, confirm_seeds=5):
        self.space, self.time_budget, self.confirm_seeds = SPACE, time_budget, confirm_seeds


def reserve(plan, records, at_once=2):
    return ConfirmReserve(plan, at_once, []).seconds(records)


def test_the_search_leaves_the_confirmation_its_time():
    records = [replace(record(), epochs=2, seconds=8.0), replace(record(number=1), epochs=3, seconds=6.0)]
    # 4 and 2 s an epoch, so 9 s for a trial of 3; 10 trials, 2 at once, are 5 rounds; twice 10 s to start
    assert reserve(Plan(1000.0), records) == pytest.approx(20 + 5 * 9)
    assert reserve(Plan(60.0), records) == 30  # at most half
    assert reserve(Plan(1000.0), records, at_once=4) == pytest.approx(20 + 3 * 9)
    assert reserve(Plan(1000.0), [replace(record(), epochs=0, seconds=0.0)]) == 0
    assert reserve(Plan(1000.0, confirm_seeds=0), records) == 0
    assert reserve(Plan(None), records) == 0


def test_a_slow_start_of_the_search_is_allowed_to_the_confirmation_too():
    now = [100.0]
    before = [replace(record(), epochs=2, seconds=8.0)]
    own = ConfirmReserve(Plan(1000.0), 2, before, clock=lambda: now[0])
    now[0] = 125.0
    assert own.seconds(before) == pytest.approx(20 + 5 * 12)  # nothing of this run has come yet
    now[0] = 134.0  # the first epoch of this run took 4 s, so the processes 30
    after = [*before, replace(record(number=1), epochs=1, seconds=4.0)]
    assert own.seconds(after) == pytest.approx(60 + 5 * 12)
    now[0] = 500.0
    assert own.seconds(after) == pytest.approx(60 + 5 * 12)
