"""The loop: sample a batch, forward, backward, update; history, early stopping, checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from graphc.containers import describe, flatten, leaf_name, unflatten
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.training.batches import batches
from graphc.training.history import History
from graphc.training.progress import Progress
from graphc.training.step import TrainStep
from graphc.training.storage import load_params, save_params


class Fitted(NamedTuple):
    """What a training ends with.

    params: with `patience`, the best ones; else the last. state: as after the last step.
    stopped: whether it ended early, for want of improvement.
    """

    params: Any
    state: Any
    history: History
    stopped: bool = False


class _Moment(NamedTuple):
    """Everything that decides how a training goes on, after `batch` batches of `epoch`."""

    params: Any
    state: Any
    epoch: int
    batch: int
    best: float
    best_params: Any
    waited: int


def fit(
    step: TrainStep,
    params: Any,
    data: Any,
    *,
    state: Any = None,
    batch_size: int = 256,
    epochs: int = 1,
    seed: int = 0,
    shuffle: bool = True,
    validation: Any = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 0,
    progress: bool | None = None,
    callback: Callable[[int, float], Any] | None = None,
) -> Fitted:
    """Trains: `params, state, value = step(params, state, batch)` over minibatches of the data.

    params: to begin with; they are not written to, even by a step that is donated its arguments.
    data: a tuple or dict of arrays with one leading size, as the step's batch; an iterable of
        batches; or a function of the epoch's number, from 0, that returns one.
    seed: an epoch's order depends on it and the epoch's number alone; shuffle=False keeps the
        data's order. The last batch of an epoch may be smaller.
    validation: a batch whose loss is taken after each epoch.
    patience: stop after so many epochs without a new lowest validation loss (without validation
        data: mean loss of an epoch), and return the parameters of the lowest.
    checkpoint: an `.npz` file that is written after every epoch, every `every` steps, and on
        Ctrl-C (which is then passed on); where it exists, training resumes from it, and goes on bit
        for bit as it would have. A step that is donated its arguments keeps the last one on Ctrl-C,
        because its arrays may be half written.
    progress: a progress bar on stderr; by default where that is a terminal.
    callback: called with (epoch from 0, mean loss) after each epoch; True stops.

    Raises GraphTypeError and GraphValueError for data and options that do not fit.
    """
    if not isinstance(step, TrainStep):
        raise GraphTypeError(
            located(f"fit: the first argument is a {type(step).__name__}; make it by train_step")
        )
    for name, value, low in (
        ("batch_size", batch_size, 1),
        ("epochs", epochs, 0),
        ("every", every, 0),
        ("patience", 1 if patience is None else patience, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
            raise GraphValueError(located(f"fit: {name}={value!r} should be an integer >= {low}"))
    epoch_of, count = batches(data, step.batch, batch_size, seed, shuffle, epochs)
    params = _copied(step, params)
    # A copy as well: a donated step would write into the caller's.
    state = step.init(params) if state is None else _copied_state(step, state)
    history = History()
    moment = _Moment(params, state, 0, 0, np.inf, params, 0)
    path = None if checkpoint is None else os.fspath(checkpoint)
    if path is not None and os.path.exists(path):
        moment, history = _loaded(path, step, moment)
    bar = Progress(epochs, progress)
    loop = _Loop(step, history, path, every, patience, validation, callback, bar, count)
    try:
        for epoch in range(moment.epoch, epochs):
            if patience is not None and moment.waited >= patience:
                break
            moment, stop = loop.epoch(moment, epoch, epoch_of(epoch, moment.batch))
            if stop:
                return _fitted(moment, history, patience, stopped=True)
    finally:
        bar.clear()
    stopped = patience is not None and moment.waited >= patience
    return _fitted(moment, history, patience, stopped)


def _fitted(moment: _Moment, history: History, patience: int | None, stopped: bool) -> Fitted:
    best = patience is not None and np.isfinite(moment.best)
    params = moment.best_params if best else moment.params
    return Fitted(params, moment.state, history, stopped)


class _Loop:
    """What stays the same from epoch to epoch."""

    def __init__(
        self,
        step: TrainStep,
        history: History,
        path: str | None,
        every: int,
        patience: int | None,
        validation: Any,
        callback: Callable[[int, float], Any] | None,
        bar: Progress,
        count: int | None,
    ) -> None:
        self.step = step
        self.history = history
        self.path = path
        self.every = every
        self.patience = patience
        self.validation = validation
        self.callback = callback
        self.bar = bar
        self.count = count

    def epoch(
        self, moment: _Moment, epoch: int, batches: Iterator[tuple[Any, ...]]
    ) -> tuple[_Moment, bool]:
        """One epoch, or the rest of it; and whether to stop."""
        done = moment.batch
        result: tuple[Any, Any, Any] = (moment.params, moment.state, None)
        try:
            for batch in batches:
                # One assignment, so that an interrupt finds parameters and state of one step.
                result = self.step(result[0], result[1], batch)
                loss = self.step.scalar(result[2])
                self.history.add(loss)
                done += 1
                self.bar.step(epoch, done, self.count, loss)
                if self.path is not None and self.every and len(self.history) % self.every == 0:
                    self.save(moment._replace(params=result[0], state=result[1], batch=done))
        except KeyboardInterrupt:
            # `count` says how many steps the state has seen; the history may be one behind.
            if self.path is not None and not self.step.donate:
                taken = int(result[1]["count"]) - int(moment.state["count"])
                if taken == done - moment.batch:
                    self.save(moment._replace(params=result[0], state=result[1], batch=done))
            raise
        if done == 0:
            raise GraphValueError(located(f"fit: epoch {epoch + 1} had no batches"))
        return self.ended(moment._replace(params=result[0], state=result[1]), epoch, done)

    def ended(self, moment: _Moment, epoch: int, steps: int) -> tuple[_Moment, bool]:
        """The bookkeeping after an epoch."""
        self.count = steps  # what an iterable's first epoch had, the bar expects of the next one
        found = None
        if self.validation is not None:
            found = self.step.scalar(self.step.evaluate(moment.params, self.validation))
        mean = self.history.end_epoch(steps, found)
        self.bar.validation = found
        watched = mean if found is None else found
        moment = moment._replace(epoch=epoch + 1, batch=0)
        if self.patience is not None:
            if watched < moment.best:
                best = _copied(self.step, moment.params)
                moment = moment._replace(best=watched, best_params=best, waited=0)
            else:
                moment = moment._replace(waited=moment.waited + 1)
        if self.path is not None:
            self.save(moment)
        if self.callback is None:
            return moment, False
        self.bar.clear()  # a callback may print
        return moment, self.callback(epoch, mean) is True

    def save(self, moment: _Moment) -> None:
        """Writes the checkpoint."""
        assert self.path is not None
        kept = {
            "params": moment.params,
            "state": moment.state,
            "best_params": moment.best_params,
            "best": moment.best,
            "at": [moment.epoch, moment.batch, moment.waited],
            "losses": self.history.losses,
            "epochs": self.history.epochs,
            "validation": self.history.validation,
        }
        save_params(self.path, kept)


def _loaded(path: str, step: TrainStep, like: _Moment) -> tuple[_Moment, History]:
    """A checkpoint, if it is one of this step's."""
    kept = load_params(path)
    try:
        epoch, batch, waited = (int(value) for value in kept["at"])
        history = History(kept["losses"], kept["epochs"], kept["validation"])
        params = _fitting(kept["params"], like.params)
        best = _fitting(kept["best_params"], like.params)
        state = _fitting(kept["state"], like.state)
    except (KeyError, TypeError, ValueError):
        raise GraphValueError(
            located(f"{path} is no checkpoint of this training; remove it, or name another file")
        ) from None
    return _Moment(params, state, epoch, batch, float(kept["best"]), best, waited), history


def _fitting(value: Any, like: Any) -> Any:
    """The loaded arrays in the classes of `like`; ValueError where shapes or dtypes differ."""
    container = describe(like, (), lambda _, path: leaf_name(path) or "value")
    expected = flatten(container, like)
    plain = describe(value, (), lambda _, path: leaf_name(path) or "value")
    found = flatten(plain, value)
    if found.keys() != expected.keys():
        raise ValueError
    for name, array in expected.items():
        old, new = np.asarray(array), np.asarray(found[name])
        # (A number may be given as an int, and is a float after the first step.)
        if old.shape != new.shape or (old.ndim and old.dtype != new.dtype):
            raise ValueError
    return unflatten(container, found)


def _copied(step: TrainStep, params: Any) -> Any:
    container = step.parameters.container
    found = flatten(container, params, "params")
    return unflatten(container, {name: np.array(value)[()] for name, value in found.items()})


def _copied_state(step: TrainStep, state: Any) -> Any:
    container = dict(step.graph.arguments)["state"]
    found = flatten(container, state, "state")
    return unflatten(container, {name: np.array(value)[()] for name, value in found.items()})
