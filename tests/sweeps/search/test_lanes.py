"""Several independent searches of a family: studies, names, seeds and points of their own. No Ray process is started."""

import optuna
import pytest
from optuna.storages import InMemoryStorage

from sweeps.analysis.choice import find_chosen, winners_of_searches
from sweeps.search.confirm_search import ConfirmSearch
from sweeps.search.family_search import FamilySearch
from sweeps.search.lag import busy_at_most
from sweeps.search.lanes import Lane, search_lanes
from sweeps.search.studies import training_seed
from tests.sweeps.searches import METRIC, make_space, run

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACE = make_space(trials=13).model_copy(update={"searches": 3})  # the last of a search are TPE's


@pytest.fixture(scope="module")
def searched():
    storage = InMemoryStorage()
    search = FamilySearch(SPACE, storage, seed=0)
    run(search)
    return storage, search.snapshot()


def params(records, family, search):
    own = [record for record in records if (record.family, record.search) == (family, search)]
    return [record.params for record in sorted(own, key=lambda record: record.number)]


def test_the_first_search_of_each_family_comes_first():
    assert list(search_lanes(SPACE)) == ["spatial", "clip", "spatial.2", "clip.2", "spatial.3", "clip.3"]
    assert search_lanes(SPACE)["clip.3"] == Lane("clip", 3)


def test_each_search_has_all_trials_under_names_of_its_own(searched):
    storage, records = searched
    assert len(records) == len({record.name for record in records}) == 2 * 3 * 13
    assert {record.family for record in records} == {"spatial", "clip"}
    assert {r.name for r in records if (r.family, r.search) == ("clip", 2)} == {
        f"clip.2-{n:04d}" for n in range(13)
    }
    names = {study.study_name for study in optuna.get_all_study_summaries(storage)}
    assert names == set(search_lanes(SPACE))


def test_searches_are_independent(searched):
    """Other points but the published ones, which come first, other seeds of training; pairs of families have the same ones."""
    _, records = searched
    first, second = params(records, "spatial", 1), params(records, "spatial", 2)
    published = len(SPACE.family("spatial").first)
    assert [one == other for one, other in zip(first, second, strict=True)] == [True] * published + [
        False
    ] * (13 - published)
    seeds = {(r.family, r.search, r.number): r.seed for r in records}
    assert seeds["spatial", 2, 4] == seeds["clip", 2, 4] != seeds["spatial", 1, 4] == training_seed(0, 4)
    assert len({seed for (family, _, _), seed in seeds.items() if family == "clip"}) == 3 * 13


def test_the_first_search_is_as_if_it_were_the_only_one(searched):
    _, records = searched
    alone = FamilySearch(SPACE.model_copy(update={"searches": 1}), InMemoryStorage(), seed=0)
    run(alone)
    for family in ("spatial", "clip"):
        assert params(alone.snapshot(), family, 1) == params(records, family, 1)


def test_more_searches_keep_those_there_are():
    storage = InMemoryStorage()
    run(FamilySearch(SPACE.model_copy(update={"searches": 1}), storage, seed=0))
    more = FamilySearch(SPACE, storage, seed=0)
    assert len(more.snapshot()) == 26
    run(more)
    assert len(more.snapshot()) == 78


def test_their_winners_are_confirmed_under_the_familys_name(searched):
    storage, records = searched
    chosen = {f: winners_of_searches(records, f, METRIC, "max") for f in ("spatial", "clip")}
    search = ConfirmSearch(SPACE, chosen, 1, storage, seed=0)
    suggested = [search.suggest(f"t{number}") for number in range(6)]
    winners = {one.record.name for own in chosen.values() for one in own}
    assert {one["name"] for one in suggested} == {f"{name}-confirm-0" for name in winners}
    assert sorted(one["family"] for one in suggested) == ["clip"] * 3 + ["spatial"] * 3
    assert {record.search for record in search.snapshot() if record.family == "clip"} == {1, 2, 3}


def test_a_plan_counts_all_searches(plan_of):
    plan = plan_of("--searches", "4", "--confirm-configs", "2")
    assert (plan.space.searches, plan.configurations) == (4, 4)
    assert plan_of("--confirm-configs", "2").configurations == 2
    assert busy_at_most(SPACE.model_copy(update={"trials": 100})) == 3 * busy_at_most(make_space(trials=100))
    assert find_chosen(plan, []) == {}
