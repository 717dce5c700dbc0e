"""What lives in the driver and must never reach Tune's own pickles."""

from __future__ import annotations

from typing import Any


class DriverOnly:
    """Pickles to nothing.

    Tune pickles its searcher, scheduler, stopper and callbacks into the experiment folder, for a restore that this
    project never does (it loses and reruns finished trials; the studies are the record of truth). Storages and threads
    cannot be pickled, and a pickle must not be read again, so there is nothing to keep.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {}
