"""What a node finds before the first trial: the results' place, and the data."""

import pytest

from stclip.config import Experiment
from sweeps.cluster.nodes import look_around


@pytest.fixture
def configs(shared_tiny_dataset):
    tree = Experiment(data={"dataset": str(shared_tiny_dataset), "image_size": 16}).model_dump(mode="json")
    return [tree]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_node_sees_what_the_driver_wrote_and_can_write_beside_it(tmp_path, configs, scheme):
    place = f"{scheme}{tmp_path}"
    (tmp_path / ".probe").mkdir()
    state = look_around(place, ".probe", configs)
    advice = "give this node credentials" if scheme else "use a folder that all nodes share"
    assert state["problem"].startswith(f"does not see the results at {place}; {advice}")
    (tmp_path / ".probe" / "driver").touch()
    state = look_around(place, ".probe", configs)
    assert state["problem"] is None and state["fingerprint"]
    assert len(list((tmp_path / ".probe").iterdir())) == 2


def test_a_node_that_cannot_use_the_address_or_the_data_says_so(tmp_path, configs):
    assert "no way to use nosuch://" in look_around("nosuch://bucket/a", ".probe", configs)["problem"]
    (tmp_path / ".probe").mkdir()
    (tmp_path / ".probe" / "driver").touch()
    configs[0]["data"]["dataset"] = str(tmp_path / "none")
    assert "none" in look_around(str(tmp_path), ".probe", configs)["problem"]
