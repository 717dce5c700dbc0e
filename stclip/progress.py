"""A progress bar that shows up only when there is something to wait for."""

from __future__ import annotations

from types import TracebackType


class ProgressBar:
    """A rich bar, made at the first `update(done, total)`; silent when quiet. Use as a context manager."""

    def __init__(self, title: str, quiet: bool = False) -> None:
        self.title, self.quiet = title, quiet
        self._bar: object | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` steps are finished."""
        if self.quiet:
            return
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        if self._bar is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns)
            self._bar.start()
            self._task = self._bar.add_task(escape(self.title), total=total)
        assert isinstance(self._bar, Progress)
        self._bar.update(self._task, completed=done, total=total)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]
