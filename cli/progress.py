"""What a run shows while it runs: how far it is, how fast, how long still. On standard error."""

from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

SHOWN_EVERY_S = 0.1


class _Rate(ProgressColumn):
    """Rows per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} rows/s", style="cyan")


class RowProgress:
    """A bar over the rows of a run; on anything but a terminal it shows nothing.

    Parameters
    ----------
    console : Console
    total : int
        Rows to pass.
    doing : str
    """

    def __init__(self, console: Console, total: int, *, doing: str = "running") -> None:
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.completed:,} of {task.total:,} rows"),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._total = total
        self._task = self._bar.add_task(doing, total=total)
        self._shown_s = 0.0
        self.rows = 0  # released so far
        self.begun_at: int | None = None  # where the run went on; 0 for a new one

    def moved(self, rows: int) -> None:
        """The source has released that many rows in all."""
        self.rows = rows
        now_s = monotonic()
        if self.begun_at is None:
            self.begun_at = rows
            if rows:
                self._bar.console.print(f"resuming at row {rows:,} of {self._total:,}")
            self._bar.reset(self._task, completed=rows)
        elif now_s - self._shown_s < SHOWN_EVERY_S and rows < self._total:
            return
        self._shown_s = now_s
        self._bar.update(self._task, completed=rows)

    def __enter__(self) -> "RowProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
