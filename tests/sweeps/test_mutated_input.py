"""Files and overrides with random small faults: accepted, or an InputError of one line, and nothing else."""

import pytest

from benchmarks.fuzz import ODD, fuzz, kinds, refused_or_accepted
from stclip.config import Experiment
from stclip.config.load import validate
from stclip.config.strict_yaml import parse_yaml

HANGS = 300  # seconds for one example; how long a slow machine takes is nobody's fault


def test_values_of_any_yaml_kind_are_refused_in_one_line():
    values = []
    for odd in ODD:
        refused_or_accepted(lambda odd=odd: values.append(parse_yaml(odd, "odd")))
    assert 10 < len(values) < len(ODD)
    tree = validate(Experiment, {}, "defaults").model_dump(mode="json")
    for section, keys in tree.items():
        for key in [None, *keys] if isinstance(keys, dict) else [None]:
            for value in values:
                given = {section: {key: value} if key else value}
                refused_or_accepted(lambda given=given: validate(Experiment, given, "odd"))


@pytest.mark.parametrize("kind", ["files", "overrides", "shards", "checkpoints"])
def test_a_tenth_of_the_fuzzing(kind):
    strategy, outcome, examples = kinds(texts=200, shards=50, checkpoints=50)[kind]
    counts = fuzz(strategy, outcome, examples, number=0, seconds=HANGS)
    assert counts[False] > 0 and counts[True] > 0 and counts.total() >= examples // 2
