"""Minibatches: arrays cut into shuffled batches, or an iterable of batches as it comes.

The order of an epoch depends on the seed and the epoch's number alone, so a training that resumes
in the middle of one goes on with the very batches it would have had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from graphc.errors import GraphTypeError, GraphValueError, located

Batches = Callable[[int, int], Iterator[tuple[Any, ...]]]


def batches(
    data: Any,
    take: Callable[[Any], tuple[Any, ...]],
    batch_size: int,
    seed: int,
    shuffle: bool,
    epochs: int,
) -> tuple[Batches, int | None]:
    """A function (epoch, first batch) -> the epoch's batches from that one on, and their number,
    None where it is unknown.

    data: a tuple or dict of arrays with one leading size, or a single array; a function of the
        epoch's number that returns an iterable of batches; or an iterable of batches, which for
        more than one epoch can be iterated again (a list, not a generator).
    take: a batch as users give it -> a tuple in the loss's order.
    """
    if callable(data):
        return lambda epoch, first: _from(data(epoch), first, take), None
    if isinstance(data, Mapping | np.ndarray) or _is_arrays(data):
        arrays = tuple(np.asarray(part) for part in take(data))
        return _cut(arrays, batch_size, seed, shuffle)
    if isinstance(data, Iterator) and epochs > 1:
        raise GraphTypeError(
            located(
                f"fit: the data is a {type(data).__name__}, which is spent after one epoch of "
                f"{epochs}; give a list, or a function of the epoch that returns an iterator"
            )
        )
    if not isinstance(data, Iterable):
        raise GraphTypeError(
            located(
                f"fit: the data is a {type(data).__name__}; give a tuple or dict of arrays, or an "
                "iterable of batches"
            )
        )
    return lambda epoch, first: _from(data, first, take), None


def _is_arrays(data: Any) -> bool:
    """A tuple of arrays is data; a list of tuples is batches."""
    return isinstance(data, tuple) and all(isinstance(part, np.ndarray) for part in data)


def _from(
    found: Iterable[Any], first: int, take: Callable[[Any], tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    for batch in islice(found, first, None):
        yield take(batch)


def _cut(
    arrays: Sequence[np.ndarray[Any, Any]], batch_size: int, seed: int, shuffle: bool
) -> tuple[Batches, int]:
    counts = {array.shape[0] if array.ndim else -1 for array in arrays}
    if len(counts) != 1 or -1 in counts:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise GraphValueError(
            located(f"fit: the arrays should have one leading size; their shapes are {shapes}")
        )
    (count,) = counts
    if count == 0:
        raise GraphValueError(located("fit: there are no data: the leading size is 0"))

    def epoch_of(epoch: int, first: int) -> Iterator[tuple[Any, ...]]:
        order = np.arange(count)
        if shuffle:
            order = np.random.default_rng([seed, epoch]).permutation(count)
        for start in range(first * batch_size, count, batch_size):
            chosen = order[start : start + batch_size]
            yield tuple([array[chosen] for array in arrays])

    return epoch_of, -(-count // batch_size)
