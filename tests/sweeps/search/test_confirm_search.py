"""The confirmation: the winners again, with fresh and paired seeds, in studies of their own. No Ray process is started."""

import json

import optuna
import pytest
from optuna.storages import InMemoryStorage
from ray.tune.search import Searcher

from sweeps.analysis.choice import choose, find_chosen
from sweeps.planning.confirm_plan import confirm_budgets, confirm_plan, trainings_to_go
from sweeps.results.records import Chosen, configuration_of, recorded_names
from sweeps.search.confirm_search import ConfirmSearch, confirm_seed
from sweeps.search.family_search import FamilySearch
from sweeps.search.space import EarlyStopping
from sweeps.search.studies import training_seed
from tests.sweeps.made_up import record
from tests.sweeps.searches import FAMILIES, METRIC, make_space, run, train

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACE = make_space(trials=3, rule=EarlyStopping(first_rung=1, factor=2))
FOUND = json.dumps({"metrics": {"test/R@10": 0.5}, "slides": {"E1": {"spots": 28, "R@10": 0.5}}})


def searched(storage, count=1, space=SPACE):
    """Family -> the `count` best configurations of a search."""
    search = FamilySearch(space, storage, seed=0)
    run(search)
    return {family: choose(search.snapshot(), family, METRIC, "max", count) for family in ("spatial", "clip")}


def confirm(storage, chosen, seeds=2, space=SPACE):
    return ConfirmSearch(space, chosen, seeds, storage, seed=0)


def winner(chosen, family):
    return chosen[family][0].record


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
    names = [f"{winner(winners, f).name}-confirm-{i}" for i in range(2) for f in ("spatial", "clip")]
    assert [s["name"] for s in suggested] == names
    assert all(s["params"] == winner(winners, s["family"]).params and s["test"] for s in suggested)
    assert [s["seed"] for s in suggested] == [confirm_seed(0, 0)] * 2 + [confirm_seed(0, 1)] * 2
    assert not {confirm_seed(0, i) for i in range(50)} & {training_seed(0, i) for i in range(1000)}
    assert len({confirm_seed(seed, i) for seed in range(10) for i in range(50)}) == 500
    records = search.snapshot()
    assert [r.family for r in records] == ["spatial", "clip"] * 2 == [r.family for r in search.ended()]
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
    winners = {"clip": [Chosen(FamilySearch(space, storage, seed=0).snapshot()[0], 1.0)]}
    search = confirm(storage, winners, space=space)
    assert [config["name"] for config in run_all(search)] == ["clip-0000-confirm-0", "clip-0000-confirm-1"]


UNPRUNED = make_space(trials=4)


def test_several_configurations_of_a_family_are_confirmed_evenly():
    """The first of each family, then the second; all of them with the first seed before any has the next."""
    storage = InMemoryStorage()
    chosen = searched(storage, 3, UNPRUNED)
    chosen["clip"] = chosen["clip"][:2]
    search = confirm(storage, chosen, seeds=2, space=UNPRUNED)
    suggested = run_all(search)
    of = {family: [one.record.name for one in configurations] for family, configurations in chosen.items()}
    order = [of["spatial"][0], of["clip"][0], of["spatial"][1], of["clip"][1], of["spatial"][2]]
    assert [s["name"] for s in suggested] == [f"{name}-confirm-{seed}" for seed in (0, 1) for name in order]
    assert [s["seed"] for s in suggested] == [confirm_seed(0, 0)] * 5 + [confirm_seed(0, 1)] * 5
    params = {one.record.name: one.record.params for own in chosen.values() for one in own}
    records = search.snapshot()
    assert all(r.params == params[configuration_of(r)] for r in records)
    assert sorted(r.family for r in records) == ["clip"] * 4 + ["spatial"] * 6


def test_more_configurations_keep_those_there_are():
    storage = InMemoryStorage()
    run_all(confirm(storage, searched(storage, 1, UNPRUNED), space=UNPRUNED))
    more = confirm(storage, searched(storage, 2, UNPRUNED), space=UNPRUNED)
    more.adopt()
    assert len(run_all(more)) == 4 and len(more.snapshot()) == 8


def test_the_plan_of_a_confirmation(plan_of):
    plan = plan_of("--confirm-seeds", "7", "--confirm-configs", "2")
    records = [record("clip", n, metrics={METRIC: n}, params={"x": n}) for n in range(4)]
    chosen = find_chosen(plan, [*records, record("spatial", 0, "PRUNED", metrics={METRIC: 0.9})])
    assert [one.record.number for one in chosen["clip"]] == [3, 2] and list(chosen) == ["clip"]
    assert confirm_budgets(plan, chosen) == {"clip": 14}
    own = confirm_plan(plan, chosen).space
    assert (list(own.families), own.trials, own.early_stopping, own.epochs) == (
        ["clip"],
        14,
        None,
        plan.space.epochs,
    )


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
    known = winner(winners, "clip")
    other = next(r for r in FamilySearch(SPACE, storage, 0).snapshot() if r.family == "clip" and r != known)
    search = confirm(storage, {**winners, "clip": [Chosen(other, 1.0)]})
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
