"""A progress bar on a terminal; nothing where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import Any

# Redrawing oftener than one sees would cost more than a small step.
_INTERVAL = 0.1


class Progress:
    """One line that is redrawn: epoch, share of it, losses, time left.

    validation: the last validation loss, once there is one.
    """

    def __init__(
        self, epochs: int, shown: bool | None, stream: Any = None, width: int = 30
    ) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.shown = self.stream.isatty() if shown is None else shown
        self.epochs = epochs
        self.width = width
        self.validation: float | None = None
        self._last = float("-inf")
        # When the first step was done, and which share of the training that was: one may resume.
        self._began: tuple[float, float] | None = None

    def step(self, epoch: int, done: int, count: int | None, loss: float) -> None:
        """Redraws the line, if it is time."""
        if not self.shown:
            return
        now = time.monotonic()
        if now - self._last < _INTERVAL and done != count:
            return
        self._last = now
        bar, left = f"{done} steps", ""
        if count:
            filled = min(self.width * done // count, self.width)
            bar = f"[{'#' * filled}{'.' * (self.width - filled)}]"
            left = self._left(now, min((epoch + min(done / count, 1.0)) / self.epochs, 1.0))
        held = "" if self.validation is None else f" validation {self.validation:.4g}"
        line = f"epoch {epoch + 1}/{self.epochs} {bar} loss {loss:.4g}{held}{left}"
        self.stream.write(f"\r{line} \033[K")
        self.stream.flush()

    def _left(self, now: float, share: float) -> str:
        """The time that is left, if the rest goes as what was seen of it."""
        if self._began is None:
            self._began = now, share
        began, before = self._began
        if share <= before:
            return ""
        seconds = round((now - began) / (share - before) * (1 - share))
        minutes, rest = divmod(seconds, 60)
        return f", {minutes}:{rest:02} left" if minutes else f", {rest} s left"

    def clear(self) -> None:
        """Clears the line, for others to write there."""
        if self.shown:
            self.stream.write("\r\033[K")
            self.stream.flush()
