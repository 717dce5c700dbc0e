"""What every tower must do: `TestMine = image_tower_contract("mine", inputs)` tries it on the tower `mine` of the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from stclip.config import AugmentConfig, GeneTowerConfig, ImageTowerConfig
from stclip.config.registry import GENE_TOWERS, IMAGE_TOWERS, lookup

DIM, GENES, LONGEST, SPOTS = 6, 30, 8, 5
Make = Callable[[], torch.nn.Module]


def tiles(side: int = 32) -> Tensor:
    """uint8 [SPOTS, side, side, 3]."""
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (SPOTS, side, side, 3), dtype=torch.uint8, generator=rng)


def features(length: int = 7) -> Tensor:
    """float32 [SPOTS, length]."""
    return torch.randn(SPOTS, length, generator=torch.Generator().manual_seed(0))


def sentences() -> Tensor:
    """int64 [SPOTS, LONGEST], the last ones shorter, one of them empty."""
    genes = torch.randint(0, GENES, (SPOTS, LONGEST), generator=torch.Generator().manual_seed(0))
    genes[-2, 3:], genes[-1] = -1, -1
    return genes


def image_tower_contract(name: str, inputs: Tensor, changes: Mapping[str, Any] | None = None) -> type:
    """The tests of one image tower. `inputs`: what it reads of SPOTS spots. `changes`: of its section."""

    def make() -> torch.nn.Module:
        config = ImageTowerConfig(name=name, width=32, **(changes or {}))
        size = inputs.shape[1]
        made: torch.nn.Module = lookup("image tower", IMAGE_TOWERS, name).load()(
            config, AugmentConfig(), size, DIM
        )
        return made

    return _contract(make, inputs)


def gene_tower_contract(name: str, inputs: Tensor, changes: Mapping[str, Any] | None = None) -> type:
    """The tests of one gene tower. `inputs`: what it reads of SPOTS spots. `changes`: of its section."""

    def make() -> torch.nn.Module:
        config = GeneTowerConfig(name=name, width=32, **(changes or {}))
        made: torch.nn.Module = lookup("gene tower", GENE_TOWERS, name).load()(config, GENES, LONGEST, DIM)
        return made

    return _contract(make, inputs)


def _contract(make: Make, inputs: Tensor) -> type:
    class Contract:
        @pytest.fixture
        def tower(self) -> torch.nn.Module:
            torch.manual_seed(0)
            return make()

        @pytest.mark.parametrize("count", [1, 2, SPOTS])
        def test_each_spot_gets_a_vector(self, tower: Any, count: int) -> None:
            vectors = tower.eval()(inputs[:count])
            assert vectors.shape == (count, DIM) and vectors.dtype == torch.float32
            assert torch.isfinite(vectors).all()

        def test_a_seed_decides_the_weights(self, tower: Any) -> None:
            torch.manual_seed(0)
            torch.testing.assert_close(make().state_dict(), tower.state_dict(), rtol=0, atol=0)

        def test_evaluation_draws_nothing_and_changes_nothing(self, tower: Any) -> None:
            tower.eval()
            before = {key: value.clone() for key, value in tower.state_dict().items()}
            state = torch.get_rng_state()
            first, again = tower(inputs), tower(inputs)
            torch.testing.assert_close(again, first, rtol=0, atol=0)
            assert torch.equal(torch.get_rng_state(), state)
            torch.testing.assert_close(dict(tower.state_dict()), before, rtol=0, atol=0)

        def test_in_evaluation_a_spot_knows_nothing_of_the_others(self, tower: Any) -> None:
            tower.eval()
            whole = tower(inputs)
            for spot in range(SPOTS):
                torch.testing.assert_close(
                    tower(inputs[spot : spot + 1])[0], whole[spot], rtol=1e-4, atol=1e-5
                )

        def test_training_follows_its_seed(self, tower: Any) -> None:
            tower.train()
            torch.manual_seed(1)
            first = tower(inputs)
            torch.manual_seed(1)
            torch.testing.assert_close(tower(inputs), first)

        def test_gradients_reach_every_weight(self, tower: Any) -> None:
            (tower.train()(inputs) * torch.linspace(-1, 1, DIM)).square().sum().backward()
            trained = {key: value for key, value in tower.named_parameters() if value.requires_grad}
            assert trained and all(torch.isfinite(value.grad).all() for value in trained.values())
            assert [key for key, value in trained.items() if not value.grad.any()] == []

        def test_the_inputs_are_left_as_they_are(self, tower: Any) -> None:
            given = inputs.clone()
            tower.train()(given)
            assert torch.equal(given, inputs)

    return Contract
