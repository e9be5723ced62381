"""What happened during training: the loss of every step, and of every epoch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphError, located

Array = np.ndarray[Any, Any]


class History:
    """The losses of a training, in order.

    losses: of every minibatch, at the parameters before its step, f64.
    epochs: the mean of `losses` over each full epoch.
    validation: the validation loss after each epoch, where there is validation data.
    """

    def __init__(
        self,
        losses: Sequence[float] = (),
        epochs: Sequence[float] = (),
        validation: Sequence[float] = (),
    ) -> None:
        self._losses = list(map(float, losses))
        self._epochs = list(map(float, epochs))
        self._validation = list(map(float, validation))

    def __repr__(self) -> str:
        last = f", last loss {self._losses[-1]:.4g}" if self._losses else ""
        return f"<history of {len(self._losses)} steps, {len(self._epochs)} epochs{last}>"

    def __len__(self) -> int:
        return len(self._losses)

    @property
    def losses(self) -> Array:
        return np.array(self._losses)

    @property
    def epochs(self) -> Array:
        return np.array(self._epochs)

    @property
    def validation(self) -> Array:
        return np.array(self._validation)

    def add(self, loss: float) -> None:
        """Notes the loss of a step."""
        self._losses.append(float(loss))

    def end_epoch(self, steps: int, validation: float | None = None) -> float:
        """Notes the end of an epoch of so many steps; returns its mean loss."""
        mean = float(np.mean(self._losses[len(self._losses) - steps :]))
        self._epochs.append(mean)
        if validation is not None:
            self._validation.append(float(validation))
        return mean

    def text(self, width: int = 60, height: int = 10, log: bool = False) -> str:
        """The losses as a plot in characters: each column a stretch of steps, at its mean.

        log: a logarithmic axis, on which means that are not above 0 are left out.
        """
        if not self._losses:
            return "no steps yet"
        parts = np.array_split(self.losses, min(width, len(self._losses)))
        means = np.array([part.mean() for part in parts])
        known = np.isfinite(means) & ((means > 0) | (not log))
        if not known.any():
            return "no finite loss" if not log else "no finite loss above 0"
        low, high = float(means[known].min()), float(means[known].max())
        heights = np.log(means[known]) if log else means[known]
        span = float(np.ptp(heights)) or 1.0
        rows = np.full(len(means), -1)
        rows[known] = np.round((heights - heights.min()) / span * (height - 1)).astype(int)
        lines = []
        for row in range(height - 1, -1, -1):
            label = {height - 1: f"{high:9.4g}", 0: f"{low:9.4g}"}.get(row, " " * 9)
            lines.append(f"{label} |{''.join('*' if at == row else ' ' for at in rows)}".rstrip())
        lines.append(f"{' ' * 9} +{'-' * len(means)} {len(self._losses)} steps")
        return "\n".join(lines)

    def plot(
        self, path: str | os.PathLike[str] | None = None, axes: Any = None, **style: Any
    ) -> Any:
        """The losses over minibatches, by matplotlib; returns the axes.

        path: a file to write the picture to. axes: where to draw; by default a new figure.
        style: passed on to matplotlib's `plot`, as label="Adam".
        Raises GraphError where matplotlib is missing.
        """
        if axes is None:
            axes = figure_axes()
        axes.plot(np.arange(1, len(self._losses) + 1), self._losses, **style)
        if self._validation:
            per_epoch = len(self._losses) / max(len(self._epochs), 1)
            at = per_epoch * np.arange(1, len(self._validation) + 1)
            axes.plot(at, self._validation, marker="o", label="validation")
        axes.set_xlabel("minibatch")
        axes.set_ylabel("loss")
        if axes.get_legend_handles_labels()[1]:
            axes.legend()
        if path is not None:
            axes.figure.savefig(os.fspath(path))
        return axes


def figure_axes() -> Any:
    """The axes of a new matplotlib figure that needs no display."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise GraphError(
            located("plotting needs matplotlib: pip install 'graphc[plot]'; text() needs nothing")
        ) from None
    return Figure(figsize=(7, 4), layout="constrained").subplots()
