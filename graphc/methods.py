"""The methods that NumPy's arrays have, on `graphc.Value`: each is NumPy's function of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from graphc.errors import GraphTypeError, located
from graphc.lifting import Symbolic


class Methods(Symbolic):
    """The part of `graphc.Value` that spells functions as methods."""

    __slots__ = ()

    # Calls a NumPy function on the value itself and further arguments: `Value` says how.
    _call: Callable[..., Any]

    @property
    def mT(self) -> Any:
        """The last two axes exchanged."""
        return self._call(np.matrix_transpose)

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, **options: Any) -> Any:
        """np.sum."""
        return self._call(np.sum, axis, dtype, out, **options)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, **options: Any) -> Any:
        """np.mean."""
        return self._call(np.mean, axis, dtype, out, **options)

    def var(self, axis: Any = None, dtype: Any = None, out: Any = None, **options: Any) -> Any:
        """np.var."""
        return self._call(np.var, axis, dtype, out, **options)

    def std(self, axis: Any = None, dtype: Any = None, out: Any = None, **options: Any) -> Any:
        """np.std."""
        return self._call(np.std, axis, dtype, out, **options)

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, **options: Any) -> Any:
        """np.prod."""
        return self._call(np.prod, axis, dtype, out, **options)

    def max(self, axis: Any = None, out: Any = None, **options: Any) -> Any:
        """np.max."""
        return self._call(np.max, axis, out, **options)

    def min(self, axis: Any = None, out: Any = None, **options: Any) -> Any:
        """np.min."""
        return self._call(np.min, axis, out, **options)

    def any(self, axis: Any = None, out: Any = None, **options: Any) -> Any:
        """np.any."""
        return self._call(np.any, axis, out, **options)

    def all(self, axis: Any = None, out: Any = None, **options: Any) -> Any:
        """np.all."""
        return self._call(np.all, axis, out, **options)

    def argmax(self, axis: Any = None, out: Any = None, **options: Any) -> Any:
        """np.argmax."""
        return self._call(np.argmax, axis, out, **options)

    def argmin(self, axis: Any = None, out: Any = None, **options: Any) -> Any:
        """np.argmin."""
        return self._call(np.argmin, axis, out, **options)

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """np.cumsum."""
        return self._call(np.cumsum, axis, dtype, out)

    def cumprod(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """np.cumprod."""
        return self._call(np.cumprod, axis, dtype, out)

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """np.reshape; the shape as one tuple or as arguments."""
        target = shape[0] if len(shape) == 1 else shape
        return self._call(np.reshape, target, order=order)

    def transpose(self, *axes: Any) -> Any:
        """np.transpose; the axes as one tuple or as arguments."""
        order = None if not axes else axes[0] if len(axes) == 1 else axes
        return self._call(np.transpose, order)

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        """np.swapaxes."""
        return self._call(np.swapaxes, axis1, axis2)

    def ravel(self, order: str = "C") -> Any:
        """np.ravel."""
        return self._call(np.ravel, order)

    def flatten(self, order: str = "C") -> Any:
        """np.ravel."""
        return self._call(np.ravel, order)

    def squeeze(self, axis: Any = None) -> Any:
        """np.squeeze."""
        return self._call(np.squeeze, axis)

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Any:
        """np.clip."""
        return self._call(np.clip, min, max, out)

    def dot(self, other: Any) -> Any:
        """np.dot."""
        return self._call(np.dot, other)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """np.diagonal."""
        return self._call(np.diagonal, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """np.trace."""
        return self._call(np.trace, offset, axis1, axis2)

    def repeat(self, repeats: int, axis: Any = None) -> Any:
        """np.repeat."""
        return self._call(np.repeat, repeats, axis)

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
        """np.take."""
        return self._call(np.take, indices, axis, out, mode)

    def argsort(self, axis: Any = -1, **options: Any) -> Any:
        """np.argsort."""
        return self._call(np.argsort, axis, **options)

    def argpartition(self, kth: Any, axis: Any = -1, **options: Any) -> Any:
        """np.argpartition."""
        return self._call(np.argpartition, kth, axis, **options)

    def searchsorted(self, v: Any, side: str = "left", sorter: Any = None) -> Any:
        """np.searchsorted."""
        return self._call(np.searchsorted, v, side, sorter)

    def choose(self, choices: Any, out: Any = None, mode: str = "raise") -> Any:
        """np.choose."""
        return self._call(np.choose, choices, out, mode)

    def nonzero(self) -> Any:
        """np.nonzero, which is refused: a shape cannot depend on values."""
        return self._call(np.nonzero)

    def conj(self) -> Any:
        """The value itself: it is real."""
        return self._call(np.real)

    conjugate = conj

    @property
    def real(self) -> Any:
        """The value itself: it is real."""
        return self._call(np.real)

    @property
    def imag(self) -> Any:
        """Zeros."""
        return self._call(np.imag)

    def round(self, decimals: int = 0) -> Any:
        """np.round."""
        return self._call(np.round, decimals)

    # -- what changes an array in place: a value has no place ------------------------------------

    def sort(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: it sorts in place."""
        _refuse("sort", "np.sort(x)")

    def partition(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: it sorts in place."""
        _refuse("partition", "np.partition(x, kth)")

    def fill(self, *args: Any) -> NoReturn:
        """Refused: it writes in place."""
        _refuse("fill", "np.full_like(x, value)")

    def put(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: it writes in place."""
        _refuse("put", "graphc.at(x)[i].set(v)")

    def resize(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: it changes the array itself."""
        _refuse("resize", "np.resize(x, shape)")


def _refuse(name: str, instead: str) -> NoReturn:
    raise GraphTypeError(located(f".{name}() changes an array in place; use {instead}"))
