"""Files and overrides with random small faults: accepted, or an InputError of one line, and nothing else."""

import random

import pytest

from benchmarks.fuzz import fuzz, kinds
from stclip.config import PROJECT_ROOT, Experiment
from stclip.configio import parse_override, validate
from stclip.errors import InputError
from stclip.strict_yaml import parse_yaml, read_yaml
from sweeps.space import SPACES, load_space, pin

EXPERIMENTS = PROJECT_ROOT / "configs" / "experiment"
HUGE = "9" * 400

ODD = ("", " ", "null", "true", ".nan", "-.inf", "1e999", "-1", "0", "3.5", HUGE, "[]", "{}", "[1, [2]]", "{a: 1}", "*x",
       "&x", "!!int ''", "!!binary x", "!!set {a}", "2001-01-01", "'", '"', "|", "? a", "<<", "é✓", "\\", "../x", "@", "`",
       "%", "\t", "#", "---", "...", ": :", "val/R@10", "clip", "x" * 300)  # fmt: skip


def mutated(text, rng):
    """One to three small changes of characters, lines or values."""
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        at, spot = rng.randrange(len(lines)), rng.randrange(len(text) + 1)
        kind = rng.randrange(8)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, rng.choice(lines))
        elif kind == 2:
            lines[at] = " " * rng.randint(0, 6) + lines[at].lstrip()
        elif kind in (3, 4, 5):
            key, colon, _ = lines[at].partition(":")
            lines[at] = f"{key}{colon} {rng.choice(ODD)}"
        if kind < 6:
            text = "\n".join(lines)
        elif kind == 6:
            text = (
                text[:spot]
                + rng.choice("{}[]:,-#&*!|>'\"%@`\t\n \x00é0a.")
                + text[spot + rng.randint(0, 1) :]
            )
        else:
            text = text[:spot] + text[spot + rng.randint(1, 20) :]
    return text


def refused_or_accepted(work):
    """True when accepted; only an InputError of one line may come instead."""
    try:
        work()
    except InputError as error:
        assert str(error).isprintable() and 0 < len(str(error)) < 1600
        return False
    return True


def test_mutated_files_are_accepted_or_refused(tmp_path):
    rng = random.Random(0)
    spaces, experiments = sorted(SPACES.glob("*.yaml")), sorted(EXPERIMENTS.glob("*.yaml"))
    outcomes = []
    for number in range(160):
        path = tmp_path / f"mutant{number}.yaml"
        if number % 2:
            path.write_text(mutated(rng.choice(spaces).read_text(), rng))
            outcomes.append(refused_or_accepted(lambda path=path: load_space(str(path))))
        else:
            path.write_text(mutated(rng.choice(experiments).read_text(), rng))
            outcomes.append(
                refused_or_accepted(lambda path=path: validate(Experiment, read_yaml(path), str(path)))
            )
    assert 20 < sum(outcomes) < 140  # both happen


def test_mutated_overrides_are_accepted_or_refused():
    rng = random.Random(0)
    space = load_space("smoke")
    keys = ["model.embed_dim", "model.image.name", "optimizer.lr", "optimizer.betas", "data.batch_size", "data", "model",
            "loss", "loss.neighbor_alpha_scale", "model.temperature", "trainer.loggers", "about", "data.root"]  # fmt: skip
    good = ["64", "cnn", "1e-3", "[0.9, 0.95]", "{}", "3", "true", "0.5"]
    outcomes = []
    for _ in range(160):
        text = f"{rng.choice(keys)}={rng.choice([*good, *ODD])}"
        text = mutated(text, rng) if rng.random() < 0.5 else text
        outcomes.append(refused_or_accepted(lambda text=text: pin(space, [parse_override(text)])))
    assert 10 < sum(outcomes) < 150


def test_values_of_any_yaml_kind_are_refused_in_one_line():
    tree = validate(Experiment, {}, "defaults").model_dump(mode="json")
    for section, keys in tree.items():
        for key in [None, *keys] if isinstance(keys, dict) else [None]:
            for odd in ODD:

                def work(section=section, key=key, odd=odd):
                    value = parse_yaml(odd, "odd")
                    validate(Experiment, {section: {key: value} if key else value}, "odd")

                refused_or_accepted(work)


@pytest.mark.parametrize("kind", ["files", "overrides", "shards"])
def test_a_tenth_of_the_fuzzing(kind):
    strategy, outcome, examples = kinds(texts=200, shards=50)[kind]
    counts = fuzz(strategy, outcome, examples, number=0)
    assert counts[False] > 0 and counts.total() >= examples // 2
