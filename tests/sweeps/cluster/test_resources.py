"""Trials on several devices: how the machine is shared among them, and what is refused before anything runs."""

from types import SimpleNamespace

import pytest
import yaml

from stclip.errors import ConfigError, InputError
from sweeps.cluster.connect import Node, TrialResources
from sweeps.cluster.resources import check_spots, share, share_among_groups
from sweeps.driver.listing import describe_plan
from sweeps.planning.command_line import make_parser
from sweeps.planning.plan import make_plan
from sweeps.run import main

SPACE = {
    "experiment": "base.yaml",
    "metric": "val/R@10",
    "mode": "max",
    "trials": 2,
    "epochs": 1,
    "families": {
        "clip": {
            "loss": {"name": "clip"},
            "parameters": {"model.temperature": {"type": "float", "low": 0.01, "high": 1.0}},
        }
    },
}
BASE = {
    "data": {"image_size": 16, "batch_size": 16, "num_neighbors": 4},
    "model": {"image": {"name": "stain", "width": 16}, "genes": {"width": 16}, "embed_dim": 8},
    "trainer": {"accelerator": "cpu", "loggers": ["csv"]},
}


@pytest.fixture
def command(tmp_path, shared_tiny_dataset):
    """The arguments of a sweep on the tiny data set with `resources` and `base.trainer` as given."""

    def arguments(resources, *more, **trainer):
        (tmp_path / "base.yaml").write_text(
            yaml.safe_dump({**BASE, "trainer": {**BASE["trainer"], **trainer}})
        )
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**SPACE, "resources": resources}))
        given = ["--space", str(tmp_path / "tiny.yaml"), "--data", str(shared_tiny_dataset)]
        return [*given, "--results", str(tmp_path / "results"), *more]

    return arguments


@pytest.fixture
def plan_of(command):
    def resolve(resources, *more, **trainer):
        return make_plan(make_parser().parse_args(command(resources, *more, **trainer)))

    return resolve


@pytest.mark.parametrize(
    ("nodes", "cpus_per_device", "gpus_per_device", "max_concurrent", "devices", "expected"),
    [
        ([(2, 0)], 1, None, None, 2, TrialResources(1, 0.0, 1, 2)),
        ([(8, 0)], 1, None, None, 2, TrialResources(1, 0.0, 4, 2)),
        ([(9, 0)], 2, None, None, 2, TrialResources(2, 0.0, 2, 2)),
        ([(8, 0)], 1, None, 3, 2, TrialResources(1, 0.0, 3, 2)),
        ([(16, 4)], 1, None, None, 2, TrialResources(1, 1.0, 2, 2)),  # a GPU each, where there are GPUs
        ([(16, 5)], 1, 1, None, 2, TrialResources(1, 1.0, 2, 2)),
        ([(16, 4)], 1, 0, None, 2, TrialResources(1, 0.0, 8, 2)),
        ([(4, 8)], 2, None, None, 2, TrialResources(2, 1.0, 1, 2)),
        ([(1, 0), (1, 0)], 1, None, None, 2, TrialResources(1, 0.0, 1, 2)),  # a trial over two nodes
        ([(3, 0), (3, 0), (3, 0)], 2, None, None, 3, TrialResources(2, 0.0, 1, 3)),  # a processor of each is left over
        ([(8, 1), (8, 1), (8, 0)], 1, None, None, 2, TrialResources(1, 1.0, 1, 2)),
    ],
)  # fmt: skip
def test_no_more_trials_at_once_than_fit_with_all_their_devices(
    nodes, cpus_per_device, gpus_per_device, max_concurrent, devices, expected
):
    has = [Node(*node) for node in nodes]
    shared = share_among_groups(has, cpus_per_device, gpus_per_device, max_concurrent, devices, {"auto"})
    assert shared == expected


def test_a_trial_on_processors_takes_no_gpu():
    assert share_among_groups([Node(8, 4)], 1, None, None, 2, {"cpu"}) == TrialResources(1, 0.0, 4, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((2, 0), 1, None, None, 3, {"auto"}), "resources.devices 3 with --cpus-per-trial 1 for each is more than the 2"),
        (((2, 0), 2, None, None, 2, {"auto"}), "resources.devices 2 with --cpus-per-trial 2 for each is more than the 2"),
        (((8, 1), 1, None, None, 2, {"auto"}), "resources.devices 2 is more than the 1 GPUs there are .* --gpus-per-trial 0"),
        (((8, 0), 1, None, None, 2, {"gpu"}), "resources.devices 2 is more than the 0 GPUs there are"),
        (((8, 4), 1, 0.5, None, 2, {"auto"}), "--gpus-per-trial 0.5 with resources.devices 2: a device is one whole GPU"),
        (((8, 4), 1, 2, None, 2, {"auto"}), "--gpus-per-trial 2 with resources.devices 2: a device is one whole GPU"),
        (((8, 4), 1, 0, None, 2, {"gpu"}), "trainer.accelerator=gpu does not go with 0 GPU .* or --gpus-per-trial 1"),
        (((8, 4), 1, 1, None, 2, {"cpu"}), "trainer.accelerator=cpu does not go with 1 GPU .* or --gpus-per-trial 0"),
        (((8, 4), 1, None, None, 2, {"cpu", "auto"}), "trainer.accelerator=cpu does not go with 1 GPU"),
    ],
)  # fmt: skip
def test_what_cannot_fit_is_refused(arguments, message):
    node, *asked = arguments
    with pytest.raises(InputError, match=message):
        share_among_groups([Node(*node)], *asked)


def test_processors_that_are_left_over_on_each_node_do_not_add_up():
    with pytest.raises(InputError, match="resources.devices 3 with --cpus-per-trial 2 for each is more than"):
        share_among_groups([Node(3, 0), Node(3, 0)], 2, None, None, 3, {"cpu"})


def test_a_process_and_its_gpu_are_on_one_node():
    with pytest.raises(
        InputError, match="resources.devices 2 is more than the 2 GPUs there are with 4 processors for each"
    ):
        share_among_groups([Node(8, 0), Node(4, 2)], 4, None, None, 2, {"auto"})


def test_every_device_needs_a_training_spot():
    store = SimpleNamespace(spots=lambda split: range(3), dataset_name="tiny")
    check_spots([store], 3)
    with pytest.raises(InputError, match="resources.devices 4 is more than the 3 training spots of tiny"):
        check_spots([store], 4)


def test_a_space_trains_on_one_device_unless_it_says_otherwise(plan_of):
    assert plan_of({}).devices == 1
    assert plan_of({"devices": 2}).devices == 2


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"devices": 0}, r"resources.devices.*0"),
        ({"devices": 65}, r"resources.devices.*65"),
        ({"devices": 2.5}, r"resources.devices.*2.5"),
        ({"devices": True}, "devices must be a number, got true"),
        ({"device": 2}, r"resources.device\b"),
    ],
)
def test_a_bad_number_of_devices_is_refused(plan_of, resources, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(resources)


def test_the_experiments_own_devices_are_refused_and_the_way_out_is_named(plan_of):
    with pytest.raises(ConfigError, match=r"got trainer.devices=2; write `resources: \{devices: N\}`"):
        plan_of({}, devices=2)


def test_the_plan_in_words_says_how_many_devices(plan_of):
    plan = plan_of({"devices": 2})
    assert "3 at once, each on 2 devices (DDP) with 1 CPU and 0 GPU per device" in describe_plan(
        plan, None, share(plan, [Node(6, 0)])
    )
    one = plan_of({})
    assert "6 at once, 1 CPU and 0 GPU each" in describe_plan(one, None, share(one, [Node(6, 0)]))


@pytest.mark.parametrize("mode", ["--dry-run", "--quiet"])
def test_more_devices_than_the_machine_has_are_refused_before_anything_starts(
    command, capsys, tmp_path, mode
):
    assert main(command({"devices": 64}, mode)) == 2
    assert "resources.devices 64 with --cpus-per-trial 1 for each is more than" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_the_debug_trial_says_that_it_runs_on_one_device(command, capsys):
    assert main(command({"devices": 2}, "--debug")) == 0
    assert "one device, in this process; the sweep would train each trial on 2" in capsys.readouterr().out
