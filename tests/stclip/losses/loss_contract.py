"""What every loss must do: `TestMine = loss_contract("mine", {...}, slow_mine)` tries it on the loss `mine` of the registry."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
import torch.nn.functional as F
from torch import Tensor

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.config.registry import LOSSES, LossEntry

WORLD, SPOTS, DIM, NEIGHBORS = 2, 5, 6, 3
# The loss of B spots in float64, written slowly: image [B, D], gene [B, D], scale [], batch, settings -> [].
Slow = Callable[[Tensor, Tensor, Tensor, Mapping[str, Tensor], Mapping[str, Any]], Tensor]


def spots(count: int, seed: int = 0) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Features of this many spots, and a batch whose neighbours are in it, elsewhere, or padding."""
    rng = torch.Generator().manual_seed(seed)
    image, gene = (
        F.normalize(torch.randn(count, DIM, generator=rng, dtype=torch.float64), dim=1) for _ in "ab"
    )
    ids = torch.randperm(50, generator=rng)[:count]
    known = torch.cat([ids, torch.tensor([-1, 99])])
    neighbors = known[torch.randint(count + 2, (count, NEIGHBORS), generator=rng)]
    alphas = torch.rand(count, NEIGHBORS, generator=rng, dtype=torch.float64)
    batch = {"tile_ids": ids, "neighbor_tile_ids": neighbors, "neighbor_alphas": alphas}
    return image, gene, batch


def make_loss(entry: LossEntry, settings: Mapping[str, Any]) -> torch.nn.Module:
    """As a training makes it: from its section of the configuration."""
    made: torch.nn.Module = entry.load()(**settings)
    return made


def in_one_process(loss: torch.nn.Module, image: Tensor, gene: Tensor, batch: Any) -> dict[str, Any]:
    """The loss, and what reaches image, gene and scale."""
    leaves = [image.clone().requires_grad_(), gene.clone().requires_grad_()]
    leaves.append(torch.tensor(8.0, dtype=torch.float64, requires_grad=True))
    value = loss.train().from_batch(*leaves, batch)["loss"]
    value.backward()
    grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    return {"loss": value.item(), "grads": grads}


def one_of_two(rank: int, folder: str, entry: LossEntry, variants: Sequence[Mapping[str, Any]]) -> None:
    """A process with half of the spots."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD,
        timeout=datetime.timedelta(seconds=300),
    )  # fmt: skip
    image, gene, batch = spots(WORLD * SPOTS)
    own = slice(rank * SPOTS, (rank + 1) * SPOTS)
    part = {name: value[own] for name, value in batch.items()}
    found = [in_one_process(make_loss(entry, settings), image[own], gene[own], part) for settings in variants]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def check_parity(alone: Mapping[str, Any], both: Sequence[Mapping[str, Any]]) -> None:
    """The mean over processes, which is what DistributedDataParallel makes of the gradients, is that of one process."""
    assert sum(one["loss"] for one in both) / WORLD == pytest.approx(alone["loss"], rel=1e-10)
    for side in (0, 1):
        arrived = torch.cat([one["grads"][side] for one in both]) / WORLD
        torch.testing.assert_close(arrived, alone["grads"][side], rtol=1e-9, atol=1e-12)
    of_scale = sum(one["grads"][2] for one in both) / WORLD
    torch.testing.assert_close(of_scale, alone["grads"][2], rtol=1e-9, atol=1e-12)


def loss_contract(name: str, changes: Mapping[str, Any], slow: Slow) -> type:
    """The tests of one loss.

    Args:
        name: in the registry.
        changes: what its section does not have by default; such that no term is off, and nothing is capped.
        slow: its value, written slowly.
    """

    class Contract:
        @pytest.fixture
        def settings(self) -> dict[str, Any]:
            config = validate(Experiment, {"loss": {"name": name, **changes}}, "test")
            return config.loss.model_dump(exclude={"name"})

        @pytest.fixture
        def loss(self, settings: dict[str, Any]) -> torch.nn.Module:
            return make_loss(LOSSES[name], settings)

        def test_its_section_is_read_and_written(self) -> None:
            config = validate(Experiment, {"loss": {"name": name, **changes}}, "test")
            assert type(config.loss) is LOSSES[name].section_class() and config.loss.name == name
            assert validate(Experiment, config.model_dump(mode="json"), "again") == config

        def test_terms_are_scalars_and_only_the_loss_has_a_gradient(self, loss: Any) -> None:
            image, gene, batch = spots(4)
            terms = loss.from_batch(image.requires_grad_(), gene, torch.tensor(8.0), batch)
            assert {value.shape for value in terms.values()} == {torch.Size()}
            assert {key for key, value in terms.items() if value.requires_grad} == {"loss"}

        @pytest.mark.parametrize("count", [1, 2, 7])
        def test_the_value_is_that_of_the_slow_loss(self, loss: Any, settings: Any, count: int) -> None:
            image, gene, batch = spots(count)
            scale = torch.tensor(8.0, dtype=torch.float64)
            expected = slow(image, gene, scale, batch, settings)
            for mode in (True, False):  # training and evaluation: one process scores the same spots
                value = loss.train(mode).from_batch(image, gene, scale, batch)["loss"]
                torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)

        @pytest.mark.parametrize("count", [1, 4])
        def test_the_gradient_is_that_of_finite_differences(self, loss: Any, count: int) -> None:
            image, gene, batch = spots(count)
            scale = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)

            def value(*inputs: Tensor) -> Tensor:
                return loss.from_batch(*inputs, batch)["loss"]  # type: ignore[no-any-return]

            assert torch.autograd.gradcheck(value, (image.requires_grad_(), gene.requires_grad_(), scale))

        def test_the_order_of_the_spots_does_not_matter(self, loss: Any) -> None:
            image, gene, batch = spots(7)
            order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
            turned = {key: value[order] for key, value in batch.items()}
            scale = torch.tensor(8.0, dtype=torch.float64)
            value = loss.from_batch(image, gene, scale, batch)["loss"]
            torch.testing.assert_close(
                loss.from_batch(image[order], gene[order], scale, turned)["loss"], value
            )

        @pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
        @pytest.mark.parametrize("scale", [8.0, 100.0])
        def test_half_precision_and_a_sure_model_stay_finite(
            self, loss: Any, settings: Any, kind: torch.dtype, scale: float
        ) -> None:
            image, gene, batch = spots(6)
            halves = [image.to(kind).requires_grad_(), gene.to(kind).requires_grad_()]
            value = loss.from_batch(*halves, torch.tensor(scale), batch)["loss"]
            value.backward()
            assert value.dtype == torch.float32
            assert all(torch.isfinite(half.grad).all() for half in halves)
            exact = slow(
                *(half.detach().double() for half in halves), torch.tensor(scale).double(), batch, settings
            )
            torch.testing.assert_close(value.double(), exact, rtol=1e-3, atol=1e-4)

        def test_two_processes_train_as_one(self, settings: Any, tmp_path: Any) -> None:
            """With `local_loss` and without, where the loss has it."""
            flags = [{"local_loss": local, "gather_with_grad": True} for local in (True, False)]
            variants = [settings | flag for flag in flags] if "local_loss" in settings else [settings]
            torch.multiprocessing.spawn(one_of_two, (str(tmp_path), LOSSES[name], variants), nprocs=WORLD)
            ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(WORLD)]
            for number, variant in enumerate(variants):
                alone = in_one_process(make_loss(LOSSES[name], variant), *spots(WORLD * SPOTS))
                check_parity(alone, [found[number] for found in ranks])

    return Contract
