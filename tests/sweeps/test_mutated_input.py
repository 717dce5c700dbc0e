"""Files and overrides with random small faults: accepted, or an InputError of one line, and nothing else."""

import os
import signal
import time

import pytest

from benchmarks import fuzz_child
from benchmarks.fuzz import EXAMPLES, ODD, fuzz, kinds, refused_or_accepted
from benchmarks.fuzz_child import InChild
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


@pytest.mark.parametrize("kind", kinds(EXAMPLES))
def test_a_tenth_of_the_fuzzing(kind):
    strategy, outcome, examples = kinds({name: count // 10 for name, count in EXAMPLES.items()})[kind]
    counts = fuzz(strategy, outcome, examples, number=0, seconds=HANGS)
    assert counts[False] > 0 and counts[True] > 0 and counts.total() >= examples // 2


def work(example, folder):
    """What the tests below do in a process of its own."""
    (folder / "file").write_text("of the example")
    if example == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if example == "hang":
        time.sleep(3600)
    if example == "much memory":
        bytes(range(256)) * 2**21
    if example == "error":
        raise KeyError("what was raised")
    return example == "good"


@pytest.mark.parametrize(
    ("example", "finding"),
    [
        ("crash", f"the example ended its process: exit status -{int(signal.SIGKILL)}"),
        ("hang", "the example does not end"),
        ("much memory", "memory grew by"),
        ("error", "KeyError: 'what was raised'"),
    ],
)
def test_what_an_example_does_to_its_process_is_a_finding_and_the_next_one_goes_on(
    example, finding, monkeypatch
):
    child = InChild(work, "good")
    try:
        assert (child("good"), child("bad")) == (True, False)
        monkeypatch.setattr(fuzz_child, "PATIENCE", 0.1 if example == "hang" else fuzz_child.PATIENCE)
        with pytest.raises(AssertionError, match=finding):
            child(example)
        monkeypatch.undo()
        assert (child("good"), child("bad")) == (True, False)
    finally:
        child.close()
