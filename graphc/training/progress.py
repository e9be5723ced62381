"""A progress bar on a terminal; nothing where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import Any

# Redrawing oftener than one sees would cost more than a small step.
_INTERVAL = 0.1


class Progress:
    """One line that is redrawn: epoch, share of it, loss."""

    def __init__(
        self, epochs: int, shown: bool | None, stream: Any = None, width: int = 30
    ) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.shown = self.stream.isatty() if shown is None else shown
        self.epochs = epochs
        self.width = width
        self._last = float("-inf")

    def step(self, epoch: int, done: int, count: int | None, loss: float) -> None:
        """Redraws the line, if it is time."""
        if not self.shown:
            return
        now = time.monotonic()
        if now - self._last < _INTERVAL and done != count:
            return
        self._last = now
        bar = f"{done} steps"
        if count:
            filled = min(self.width * done // count, self.width)
            bar = f"[{'#' * filled}{'.' * (self.width - filled)}]"
        self.stream.write(f"\repoch {epoch + 1}/{self.epochs} {bar} loss {loss:.4g} \033[K")
        self.stream.flush()

    def close(self) -> None:
        """Clears the line."""
        if self.shown:
            self.stream.write("\r\033[K")
            self.stream.flush()
