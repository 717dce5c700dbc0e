"""Every loss of the registry keeps the contract: a line each."""

from stclip.config.registry import LOSSES
from tests.stclip.losses.loss_contract import loss_contract
from tests.stclip.losses.slow_losses import slow_clip, slow_spatial

WEIGHTS = {"neighbor_alpha_scale": 0.7, "temp_reg_weight": 0.4, "cap_logit_scale": None}

TestClip = loss_contract("clip", {}, slow_clip)
TestSpatial = loss_contract("spatial", WEIGHTS, slow_spatial)


def test_every_loss_has_its_line():
    tried = {name.removeprefix("Test").lower() for name in globals() if name.startswith("Test")}
    assert tried == LOSSES.keys()
