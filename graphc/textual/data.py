"""Values in a graph file: numbers, lists, and `.npy` files beside it.

    value = number | list of values | { dtype = "f32", shape = [2, 0], value = ... }
          | { file = "mean.npy", sha256 = "..." }

A data file lies in the graph file's own folder (or below it), after links are resolved; its size is
limited, its hash is checked, and pickled objects are never loaded.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.errors import GraphSyntaxError, GraphTypeError, GraphValueError, located
from graphc.textual.limits import MAX_ELEMENTS, MAX_FILE_BYTES, MAX_NDIM
from graphc.types import DTYPES

Array = np.ndarray[Any, Any]


def read_value(name: str, value: Any, directory: str | None) -> Array:
    """The array (or rank-0 array) that an entry of [constants] or [example] spells.

    Raises GraphSyntaxError for what is no value, GraphValueError for a file that is missing,
    outside `directory`, too large or changed, GraphTypeError for a dtype that is not supported.
    """
    if not isinstance(value, dict):
        return _listed(name, value, None)
    if "file" in value:
        _only(name, value, ("file", "sha256"))
        return _file(name, value, directory)
    _only(name, value, ("dtype", "shape", "value", "bytes"))
    return _typed(name, value)


def _only(name: str, entry: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in entry:
        if key not in known:
            raise GraphSyntaxError(
                located(f"{name}: unknown key {key!r}; there are: {', '.join(known)}")
            )


# -- in the text -----------------------------------------------------------------------------------


def _listed(name: str, value: Any, dtype: np.dtype[Any] | None) -> Array:
    _check_list(name, value)
    try:
        array = np.asarray(value, dtype=dtype)
    except OverflowError:
        raise GraphValueError(located(f"{name}: an integer beyond 64 bits")) from None
    except ValueError:
        raise GraphValueError(located(f"{name}: the rows of the list differ in length")) from None
    if array.dtype.kind not in "fib":
        raise GraphTypeError(located(f"{name}: an integer beyond 64 bits, or no number"))
    return array


def _check_list(name: str, value: Any) -> None:
    """Numbers alone, and a shape that NumPy can hold: checked here, where the error has a name."""
    elements = 0
    stack = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, list):
            if depth >= MAX_NDIM:
                raise GraphValueError(located(f"{name}: a list nested deeper than {MAX_NDIM}"))
            stack.extend((part, depth + 1) for part in item)
            continue
        if not isinstance(item, bool | int | float):
            raise GraphSyntaxError(
                located(f"{name}: {item!r} is no value; write a number, a list or a file")
            )
        elements += 1
        if elements > MAX_ELEMENTS:
            raise GraphValueError(located(f"{name}: more than {MAX_ELEMENTS} elements"))


def _typed(name: str, entry: Mapping[str, Any]) -> Array:
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        known = ", ".join(DTYPES)
        raise GraphTypeError(located(f"{name}: dtype {entry['dtype']!r}; use one of {known}"))
    shape = _shape(name, entry["shape"]) if "shape" in entry else None
    if "bytes" in entry:
        array = _from_hex(name, entry["bytes"], dtype, shape or ())
    elif "value" in entry:
        array = _listed(name, entry["value"], dtype)
    else:
        raise GraphSyntaxError(located(f"{name}: a value is missing: value = ..."))
    if shape is not None and array.shape != shape:
        if array.size != int(np.prod(shape)):
            raise GraphValueError(
                located(f"{name}: {array.size} elements do not fill the shape {list(shape)}")
            )
        array = array.reshape(shape)
    return array


def _shape(name: str, value: Any) -> tuple[int, ...]:
    sizes = value if isinstance(value, list) else [None]
    if len(sizes) > MAX_NDIM or not all(
        isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_ELEMENTS
        for size in sizes
    ):
        raise GraphSyntaxError(located(f"{name}: shape is a list of sizes: [2, 3]"))
    return tuple(sizes)


def _from_hex(name: str, text: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    try:
        data = bytes.fromhex(text)
    except (TypeError, ValueError):
        raise GraphSyntaxError(located(f"{name}: bytes are hexadecimal digits")) from None
    total = int(np.prod(shape, dtype=object))
    if len(data) != total * dtype.itemsize:
        raise GraphValueError(
            located(f"{name}: {len(data)} bytes do not fill {dtype.name}{list(shape)}")
        )
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


# -- in a file -------------------------------------------------------------------------------------


def sha256_of(data: bytes) -> str:
    """The SHA-256 of a file's bytes, as `sha256sum` prints it."""
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _file(name: str, entry: Mapping[str, Any], directory: str | None) -> Array:
    if directory is None:
        raise GraphValueError(
            located(f"{name}: a data file needs a folder; use graphc.load, or pass directory=")
        )
    data = _bytes_of(name, entry["file"], directory)
    found, stated = sha256_of(data), entry.get("sha256")
    if stated is None:
        raise GraphSyntaxError(located(f'{name}: the hash is missing: sha256 = "{found}"'))
    if stated != found:
        raise GraphValueError(
            located(f"{name}: {entry['file']} has changed: its sha256 is {found}, not {stated}")
        )
    return _npy(name, entry["file"], data)


def _bytes_of(name: str, file: str, directory: str) -> bytes:
    if not file.endswith(".npy") or "\0" in file:
        raise GraphValueError(located(f"{name}: {file!r} is no .npy file"))
    folder = os.path.realpath(directory)
    path = os.path.realpath(os.path.join(folder, file))
    if os.path.commonpath([folder, path]) != folder:
        raise GraphValueError(located(f"{name}: {file!r} lies outside the graph file's folder"))
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise GraphValueError(located(f"{name}: {file!r} is no regular file"))
        if status.st_size > MAX_FILE_BYTES:
            raise GraphValueError(
                located(f"{name}: {file!r} is larger than {MAX_FILE_BYTES} bytes")
            )
        with open(path, "rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise GraphValueError(located(f"{name}: {file!r}: {error.strerror}")) from None


def _npy(name: str, file: str, data: bytes) -> Array:
    """The array in an .npy file. The header is held against the file's length before allocating."""
    import io

    from numpy.lib import format as npy

    stream = io.BytesIO(data)
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise GraphValueError(located(f"{name}: {file!r} is no .npy file")) from None
    if dtype.hasobject:
        raise GraphTypeError(
            located(f"{name}: {file!r} holds Python objects, which are not loaded")
        )
    total = 1
    for size in shape:
        total *= size
    if len(shape) > MAX_NDIM or total > MAX_ELEMENTS:
        raise GraphValueError(located(f"{name}: {file!r} has more than {MAX_ELEMENTS} elements"))
    rest = data[stream.tell() :]
    if min(shape, default=0) < 0 or len(rest) != total * dtype.itemsize:
        raise GraphValueError(
            located(f"{name}: {file!r} is shorter or longer than its header says")
        )
    if dtype.newbyteorder("=") not in DTYPES.values():
        known = ", ".join(DTYPES)
        raise GraphTypeError(
            located(f"{name}: {file!r} holds {dtype}, which is not supported; use one of {known}")
        )
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")


def to_npy(value: Array) -> bytes:
    """The bytes of an .npy file that holds `value`."""
    import io

    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=False)
    return stream.getvalue()
