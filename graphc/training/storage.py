"""Parameters (any dict, list, tuple or named tuple of arrays) in files: `.npz` and `.safetensors`.

An array goes by its place, `layers.0.W`. The structure stands beside the arrays as JSON text, so
that nothing is pickled; a named tuple comes back as a dict unless `like` shows its class.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.containers import describe, flatten, leaf_name, unflatten
from graphc.errors import GraphError, GraphTypeError, GraphValueError, located
from graphc.ir import Container, leaves

_STRUCTURE = "graphc structure"


def save_params(path: str | os.PathLike[str], params: Any) -> None:
    """Writes parameters to a file whose ending says the format: `.npz`, or `.safetensors`.

    The file is written beside its place and then moved there, so that no half-written file is left.
    Raises GraphValueError for another ending, GraphTypeError for what is no array, and GraphError
    where the library of `.safetensors` is missing.
    """
    target = os.fspath(path)
    container, arrays = _described(params)
    text = json.dumps(_structure(container))
    part = f"{target}.part"
    try:
        if _format(target) == "npz":
            with open(part, "wb") as file:
                np.savez(file, **{_STRUCTURE: np.array(text)}, **arrays)  # type: ignore[arg-type]
        else:
            whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            # (ascontiguousarray makes a number an array of one element.)
            shaped = {name: array.reshape(arrays[name].shape) for name, array in whole.items()}
            _safetensors().save_file(shaped, part, {_STRUCTURE: text})
        os.replace(part, target)
    finally:
        if os.path.exists(part):
            os.unlink(part)


def load_params(path: str | os.PathLike[str], like: Any = None) -> Any:
    """Reads what `save_params` wrote, in the same structure, as fresh arrays.

    like: parameters of the structure, shapes and dtypes that are expected; it is checked, and what
        is returned has its named tuple classes.
    Raises GraphValueError where the file does not fit `like`, or is not one of these files, and
    OSError where it cannot be opened.
    """
    source = os.fspath(path)
    read = _read_npz if _format(source) == "npz" else _read_safetensors
    try:
        text, arrays = read(source)
    except (OSError, GraphError):
        raise
    except Exception as error:  # each library has its own for a damaged file
        line = str(error).partition("\n")[0]
        raise GraphValueError(
            located(f"{source} is no file of parameters, or damaged: {line}")
        ) from None
    try:
        container = _flat(arrays) if text is None else _container(json.loads(text), ())
        found = {name: arrays[name] for name in leaves(container)}
    except (ValueError, KeyError, TypeError) as error:
        raise GraphValueError(
            located(f"{source}: its structure cannot be read ({error}); was it edited?")
        ) from None
    values = {name: array if array.ndim else array[()] for name, array in found.items()}
    if like is None:
        return unflatten(container, values)
    return _as(source, like, values)


def _as(source: str, like: Any, values: Mapping[str, Any]) -> Any:
    """The values in the structure of `like`, if they fit."""
    container, expected = _described(like)
    missing = [name for name in expected if name not in values]
    extra = [name for name in values if name not in expected]
    if missing or extra:
        what = f"has no {missing[0]!r}" if missing else f"has {extra[0]!r}, which is not expected"
        raise GraphValueError(located(f"{source} {what}; expected: {', '.join(expected)}"))
    for name, array in expected.items():
        given = values[name]
        if given.shape != array.shape or given.dtype != array.dtype:
            raise GraphValueError(
                located(
                    f"{source}: {name} is {given.dtype}{list(given.shape)}; "
                    f"expected {array.dtype}{list(array.shape)}"
                )
            )
    return unflatten(container, values)


def _described(params: Any) -> tuple[Container, dict[str, np.ndarray[Any, Any]]]:
    container = describe(params, (), lambda _, path: leaf_name(path) or "value")
    arrays = {}
    for name, value in flatten(container, params).items():
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise GraphTypeError(
                located(f"{name} is {type(value).__name__}; parameters are arrays of numbers")
            )
        arrays[name] = array
    if not arrays:
        raise GraphTypeError(located("there are no parameters to save"))
    return container, arrays


def _format(path: str) -> str:
    ending = os.path.splitext(path)[1].lower()
    if ending not in (".npz", ".safetensors"):
        raise GraphValueError(
            located(
                f"{path}: parameters are kept in .npz or .safetensors; use one of these endings"
            )
        )
    return ending[1:]


def _read_npz(source: str) -> tuple[str | None, dict[str, Any]]:
    # (NumPy does not close a file that it finds damaged.)
    with open(source, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = dict(file)
    text = arrays.pop(_STRUCTURE, None)
    return (None if text is None else str(text)), arrays


def _read_safetensors(source: str) -> tuple[str | None, dict[str, Any]]:
    with _safetensors().safe_open(source, "numpy") as file:
        text = (file.metadata() or {}).get(_STRUCTURE)
        return text, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise GraphError(
            located(
                ".safetensors files need the package safetensors: "
                "pip install 'graphc[safetensors]'; .npz files need nothing"
            )
        ) from None

    class Both:
        save_file = staticmethod(safetensors.numpy.save_file)
        safe_open = staticmethod(safetensors.safe_open)

    return Both


# -- structure as JSON -----------------------------------------------------------------------------


def _structure(container: Container) -> Any:
    """null for an array, [kind, {key: part}] for a dict or named tuple, [kind, [part ...]] else."""
    if container.kind == "leaf":
        return None
    items = [_structure(item) for item in container.items]
    if container.keys:
        return ["dict", dict(zip(container.keys, items, strict=True))]
    return [container.kind, items]


def _container(structure: Any, path: tuple[str | int, ...]) -> Container:
    if structure is None:
        return Container("leaf", leaf=leaf_name(path) or "value")
    kind, parts = structure
    if kind == "dict" and isinstance(parts, dict):
        items = tuple(_container(part, (*path, key)) for key, part in parts.items())
        return Container("dict", tuple(parts), items)
    if kind not in ("list", "tuple", "dict") or not isinstance(parts, list):
        raise ValueError(f"an unknown kind {kind!r}")
    return Container(kind, (), tuple(_container(part, (*path, k)) for k, part in enumerate(parts)))


def _flat(arrays: Mapping[str, Any]) -> Container:
    """A file of somebody else's: a dict of its arrays."""
    names = tuple(arrays)
    return Container("dict", names, tuple(Container("leaf", leaf=name) for name in names))
