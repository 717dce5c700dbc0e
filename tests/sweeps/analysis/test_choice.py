"""Which configurations stand for a family, and with what weight."""

from dataclasses import replace

import numpy as np
import pytest

from sweeps.analysis.choice import choose, find_chosen, winners_of_searches
from sweeps.analysis.family_stats import winner_weights
from tests.sweeps.made_up import record

METRIC = "val/R@10"


def searched(*values, family="spatial", states=()):
    """A trial a value, each with parameters of its own; `states`: number -> another state than COMPLETE."""
    states = dict(states)
    return [
        record(family, number, states.get(number, "COMPLETE"), {"model.temperature": number}, {METRIC: value})
        for number, value in enumerate(values)
    ]


def numbers(chosen):
    return [one.record.number for one in chosen]


@pytest.mark.parametrize(("mode", "best"), [("max", [2, 0, 1]), ("min", [3, 1, 0])])
def test_the_best_come_first(mode, best):
    records = searched(0.3, 0.2, 0.4, 0.1)
    assert numbers(choose(records, "spatial", METRIC, mode, 3)) == best
    assert numbers(choose(records, "spatial", METRIC, mode, 1)) == best[:1]


def test_equal_ones_come_by_number():
    assert numbers(choose(searched(0.3, 0.4, 0.4), "spatial", METRIC, "max", 5)) == [1, 2, 0]


def test_weights_are_those_of_their_ranks_among_all_that_ended():
    records = searched(0.3, 0.2, 0.4, 0.9, 0.9, 0.9, states={3: "PRUNED", 4: "FAIL", 5: "RUNNING"})
    chosen = choose(records, "spatial", METRIC, "max", 2)
    assert numbers(chosen) == [2, 0]
    assert [one.weight for one in chosen] == pytest.approx(winner_weights(np.arange(2), 5).tolist())


def test_trials_with_equal_parameters_are_one_configuration():
    records = searched(0.3, 0.2, 0.4)
    records[0] = replace(records[0], params=records[2].params)
    chosen = choose(records, "spatial", METRIC, "max", 5)
    assert numbers(chosen) == [2, 1]
    first, second, third = winner_weights(np.arange(3), 3)
    assert [one.weight for one in chosen] == pytest.approx([first + second, third])


def test_a_family_without_a_complete_trial_has_none(plan_of):
    records = [*searched(0.4, states={0: "PRUNED"}), *searched(0.3, 0.2, family="clip")]
    assert choose(records, "spatial", METRIC, "max", 5) == []
    broken = [replace(one, metrics={METRIC: float("nan")}) for one in searched(0.4)]
    assert choose(broken, "spatial", METRIC, "max", 5) == []
    found = find_chosen(plan_of("--confirm-configs", "1"), records)
    assert {family: numbers(chosen) for family, chosen in found.items()} == {"clip": [0]}
    assert found["clip"][0].weight == 1


def test_families_are_in_the_spaces_order(plan_of):
    records = [*searched(0.3, family="clip"), *searched(0.4)]
    assert list(find_chosen(plan_of(), records)) == ["spatial", "clip"]


# -- several searches of a family


def of_search(search, *values, states=()):
    return [
        replace(record, search=search, name=f"spatial.{search}-{record.number:04d}")
        for record in searched(*values, states=states)
    ]


def test_the_winner_of_each_search_has_the_same_weight_and_the_best_comes_first():
    records = [*of_search(1, 0.3, 0.2), *of_search(2, 0.1, 0.5), *of_search(3, 0.4)]
    chosen = winners_of_searches(records, "spatial", METRIC, "max")
    assert [(one.record.search, one.record.number) for one in chosen] == [(2, 1), (3, 0), (1, 0)]
    assert [one.weight for one in chosen] == pytest.approx([1 / 3] * 3)
    assert [one.record.search for one in winners_of_searches(records, "spatial", METRIC, "min")] == [2, 1, 3]


def test_a_search_without_a_complete_trial_has_no_winner():
    records = [*of_search(1, 0.3), *of_search(2, 0.9, states={0: "PRUNED"})]
    chosen = winners_of_searches(records, "spatial", METRIC, "max")
    assert [(one.record.search, one.weight) for one in chosen] == [(1, 1.0)]


def test_several_searches_are_confirmed_by_their_winners_alone(plan_of):
    records = [*of_search(1, 0.3, 0.2), *of_search(2, 0.1, 0.5)]
    found = find_chosen(plan_of("--searches", "2"), records)
    assert [one.record.name for one in found["spatial"]] == ["spatial.2-0001", "spatial.1-0000"]
