"""Everything that can be found wrong before the first trial is found here."""

from __future__ import annotations

from stclip.data.store import SpotStore
from stclip.loggers import check_loggers
from stclip.prepare import prepare_data
from sweeps.plan import SweepPlan
from sweeps.results import ResultsFolder


def make_ready(plan: SweepPlan, quiet: bool) -> SpotStore:
    """Check the results folder, then make or open the data of every configuration. Returns the first one's store.

    Raises InputError: the folder is taken, or the data cannot be used. The folder is looked at first: it costs
    nothing, and making data can take minutes.
    """
    ResultsFolder(plan.folder).check_free()
    for config in plan.middles().values():
        check_loggers(config.trainer.loggers)
    stores = [prepare_data(config, quiet) for config in plan.data_variants()]
    return stores[0]
