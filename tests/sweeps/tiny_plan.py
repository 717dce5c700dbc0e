"""The space that the tests of plans resolve: two families on a tiny data set; and the folder of a plan's results."""

from pathlib import Path

from sweeps.results.folder import ResultsFolder

BASE = {
    "data": {"image_size": 16, "batch_size": 16, "num_neighbors": 4},
    "model": {"image": {"name": "stain", "width": 16}, "genes": {"width": 16}, "embed_dim": 8},
    "trainer": {"accelerator": "cpu", "loggers": ["csv"]},
}
TEMPERATURE = {"type": "float", "low": 0.01, "high": 1.0, "log": True}
SPACE = {
    "experiment": "base.yaml",
    "metric": "val/R@10",
    "mode": "max",
    "trials": 4,
    "epochs": 3,
    "families": {
        "spatial": {
            "loss": {"name": "spatial"},
            "parameters": {
                "loss.neighbor_alpha_scale": {"type": "float", "low": 0.0, "high": 2.0},
                "model.temperature": TEMPERATURE,
            },
        },
        "clip": {"loss": {"name": "clip"}, "parameters": {"model.temperature": TEMPERATURE}},
    },
}


def results_of(plan):
    """Where the sweep of a plan is, or would be."""
    return ResultsFolder(Path(plan.place))
