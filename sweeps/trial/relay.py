"""What passes between the workers of a trial on several devices and its Tune actor (see `sweeps.trial.worker_group`)."""

from __future__ import annotations

import asyncio
from typing import Any

# An epoch's metrics, and the content of its checkpoint: its folder is on rank 0's node, the Tune actor perhaps on another.
Report = tuple[dict[str, Any], bytes | None]


class TrialLine:
    """Carries reports to the Tune actor and its answers back. A Ray actor of its own, since a Tune actor takes no calls."""

    def __init__(self) -> None:
        self._reports: asyncio.Queue[Report] = asyncio.Queue()
        self._answers: asyncio.Queue[bool] = asyncio.Queue()
        self._tested = ""

    async def report(self, report: Report) -> bool:
        """Hand over a report and wait: does the trial go on?"""
        await self._reports.put(report)
        return await self._answers.get()

    async def next_report(self) -> Report:
        """The next report, as soon as there is one."""
        return await self._reports.get()

    async def answer(self, go_on: bool) -> None:
        """Let the workers go on, or end them after this epoch."""
        await self._answers.put(go_on)

    async def keep(self, tested: str) -> None:
        """Hand over what was found on the test slides."""
        self._tested = tested

    async def tested(self) -> str:
        """What was found on the test slides; "" when they were not read."""
        return self._tested
