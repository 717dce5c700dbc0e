"""Both losses in two gloo processes against one process that sees both batches."""

import datetime

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
import torch.nn.functional as F

from stclip.config.registry import LOSSES
from stclip.losses import ClipLoss, SpatialLoss

WORLD, SPOTS, DIM, NEIGHBORS, SCALE, REG = 2, 5, 6, 4, 9.0, 0.8
SETTINGS = [(local, with_grad) for local in (False, True) for with_grad in (False, True)]
ALPHA_SCALES = {"clip": None, "spatial": 1.5}


def whole_batch():
    """2 x 5 spots; neighbours in the own and in the other process, elsewhere, and padding."""
    rng = torch.Generator().manual_seed(3)
    image, gene = (
        F.normalize(torch.randn(WORLD * SPOTS, DIM, generator=rng, dtype=torch.float64), dim=1) for _ in "ab"
    )
    ids = torch.randperm(50, generator=rng)[: WORLD * SPOTS]
    neighbors = torch.cat([ids, torch.tensor([-1, 99])])[
        torch.randint(WORLD * SPOTS + 2, (WORLD * SPOTS, NEIGHBORS), generator=rng)
    ]
    neighbors[0, 0], neighbors[7, 1] = ids[8], ids[2]  # across processes, in both directions
    alphas = torch.rand(WORLD * SPOTS, NEIGHBORS, generator=rng, dtype=torch.float64)
    return image, gene, {"tile_ids": ids, "neighbor_tile_ids": neighbors, "neighbor_alphas": alphas}


def make_loss(name, local_loss, with_grad):
    if name == "clip":
        return ClipLoss(local_loss=local_loss, gather_with_grad=with_grad)
    return SpatialLoss(ALPHA_SCALES[name], REG, None, local_loss=local_loss, gather_with_grad=with_grad)


def run_loss(loss, image, gene, batch):
    """Loss and its gradients by image, gene and logit scale; the loss in evaluation mode."""
    leaves = [image.clone().requires_grad_(), gene.clone().requires_grad_()]
    leaves.append(torch.tensor(SCALE, dtype=torch.float64, requires_grad=True))
    terms = loss.train().from_batch(*leaves, batch)
    terms["loss"].backward()
    apart = loss.eval().from_batch(*leaves, batch)["loss"]
    return {"loss": terms["loss"].item(), "grads": [x.grad for x in leaves], "apart": apart.item()}


def worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=WORLD,
        timeout=datetime.timedelta(seconds=300),
    )
    image, gene, batch = whole_batch()
    own = slice(rank * SPOTS, (rank + 1) * SPOTS)
    part = {name: value[own] for name, value in batch.items()}
    results = {
        (name, *setting): run_loss(make_loss(name, *setting), image[own], gene[own], part)
        for name in ALPHA_SCALES
        for setting in SETTINGS
    }
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Results of each process."""
    folder = tmp_path_factory.mktemp("gloo")
    torch.multiprocessing.spawn(worker, (str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def slow_target(name, batch):
    alpha_scale, ids = ALPHA_SCALES[name], batch["tile_ids"].tolist()
    q = torch.eye(len(ids), dtype=torch.float64)
    if alpha_scale is not None:
        for i, (row, alphas) in enumerate(
            zip(batch["neighbor_tile_ids"], batch["neighbor_alphas"], strict=True)
        ):
            for neighbor, alpha in zip(row.tolist(), alphas, strict=True):
                if neighbor in ids:
                    q[i, ids.index(neighbor)] += alpha_scale * alpha
    return q / q.sum(1, keepdim=True)


def reference(name, constant_candidates=False):
    """Loss and gradients in one process with all spots, from dense matrices."""
    image, gene, batch = whole_batch()
    image.requires_grad_(), gene.requires_grad_()
    scale = torch.tensor(SCALE, dtype=torch.float64, requires_grad=True)
    q = slow_target(name, batch)
    image_candidates = image.detach() if constant_candidates else image
    gene_candidates = gene.detach() if constant_candidates else gene
    entropy, gap = 0.0, 0.0
    for z in (image @ gene_candidates.T, gene @ image_candidates.T):
        log_p = (scale * z).log_softmax(1)
        entropy = entropy - (q * log_p).sum(1).mean() / 2
        gap = gap + ((log_p.exp() - q) * z).sum(1).mean() / 2
    loss = entropy + (0 if name == "clip" else REG) * gap**2
    loss.backward()
    return loss.item(), image.grad, gene.grad, scale.grad


def test_every_loss_that_can_be_chosen_is_tried_here():
    assert ALPHA_SCALES.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", ALPHA_SCALES)
def test_the_reference_is_the_loss_in_one_process(name):
    image, gene, batch = whole_batch()
    alone = run_loss(make_loss(name, True, True), image, gene, batch)
    loss, *expected = reference(name)
    assert alone["loss"] == pytest.approx(loss, rel=1e-12)
    torch.testing.assert_close(alone["grads"], expected)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"local_loss={s[0]},gather_with_grad={s[1]}")
@pytest.mark.parametrize("name", ALPHA_SCALES)
def test_loss_and_gradients_are_those_of_one_process(name, setting, ranks):
    local_loss, with_grad = setting
    results = [results[(name, *setting)] for results in ranks]
    loss, image_grad, gene_grad, scale_grad = reference(name)
    losses = [result["loss"] for result in results]
    assert sum(losses) / WORLD == pytest.approx(loss, rel=1e-12)
    if not local_loss:
        assert losses == pytest.approx([loss] * WORLD, rel=1e-12)

    # After DistributedDataParallel a parameter's gradient is the mean over processes: gradients
    # of features, which meet in the towers' parameters, arrive divided by the number of processes.
    image_arrives, gene_arrives = (
        torch.cat([result["grads"][side] for result in results]) / WORLD for side in (0, 1)
    )
    scale_arrives = sum(result["grads"][2] for result in results) / WORLD
    factor = 1.0
    if not with_grad and local_loss:
        _, image_grad, gene_grad, _ = reference(name, constant_candidates=True)
    elif not with_grad:
        factor = 1 / WORLD
    torch.testing.assert_close(image_arrives, factor * image_grad, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gene_arrives, factor * gene_grad, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(scale_arrives, scale_grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ALPHA_SCALES)
def test_in_evaluation_mode_each_process_scores_its_own_batch(name, ranks):
    image, gene, batch = whole_batch()
    for rank, results in enumerate(ranks):
        own = slice(rank * SPOTS, (rank + 1) * SPOTS)
        part = {key: value[own] for key, value in batch.items()}
        expected = run_loss(make_loss(name, True, True), image[own], gene[own], part)["loss"]
        for setting in SETTINGS:
            assert results[(name, *setting)]["apart"] == pytest.approx(expected, rel=1e-12)
