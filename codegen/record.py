"""`@record` and `@struct`: what a dataclass with slots gives, twenty times faster to define.

A dataclass writes its methods as source and compiles them: half a millisecond a class, at every
import, which for the seventy classes of our data is half of `import numpy`. The methods here are
closures over the fields, written once. Fields are the annotations, in order, with plain values as
defaults; there is no `field()`, no `InitVar`, no inheritance of fields. Type checkers see a
dataclass: a frozen one, or one that is compared by identity.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, eq_default=True)
def record(cls: type[T]) -> type[T]:
    """The class again, with slots, and `__init__`, `==`, `hash` and `repr` over its fields.

    Instances compare equal where their class and all their fields do; assigning to a field raises
    AttributeError; pickling and copying go through the constructor.
    """
    fields = tuple(cls.__annotations__)
    made = _slotted(cls, fields, (*fields, "_hash"))
    methods = _comparisons(made, fields) | {"__repr__": _repr, "__reduce__": _reduce}
    methods |= {"__setattr__": _refuse, "__delattr__": _refuse}
    for name, method in methods.items():
        if name not in cls.__dict__:
            setattr(made, name, method)
    result: type[T] = made
    return result


@dataclass_transform(eq_default=False)
def struct(cls: type[T]) -> type[T]:
    """The class again, with slots and `__init__`: its fields may change, and it is equal to itself
    alone."""
    fields = tuple(cls.__annotations__)
    result: type[T] = _slotted(cls, fields, fields)
    return result


def _slotted(cls: Any, fields: tuple[str, ...], slots: tuple[str, ...]) -> Any:
    defaults = {name: cls.__dict__[name] for name in fields if name in cls.__dict__}
    left_out = {*fields, "__dict__", "__weakref__"}
    body = {name: value for name, value in cls.__dict__.items() if name not in left_out}
    body["__slots__"], body["__match_args__"] = slots, fields
    # Slots cannot be added to a class that exists, so this is a second one of the same name.
    made: Any = type(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    made.__init__ = _init(made, fields, defaults)
    return made


def _init(cls: Any, fields: tuple[str, ...], defaults: dict[str, Any]) -> Callable[..., None]:
    # A slot's own descriptor sets it, past `__setattr__`, which refuses.
    setters = tuple(cls.__dict__[name].__set__ for name in fields)
    count = len(fields)

    def __init__(self: Any, *args: Any, **keywords: Any) -> None:
        if keywords or len(args) != count:
            args = _arguments(cls, fields, defaults, args, keywords)
        for setter, value in zip(setters, args):  # noqa: B905 (equal by now; strict= costs time)
            setter(self, value)

    return __init__


def _arguments(
    cls: Any,
    fields: tuple[str, ...],
    defaults: dict[str, Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
) -> tuple[Any, ...]:
    """One value a field, in order, or the TypeError that Python would raise."""
    if len(args) > len(fields):
        raise TypeError(f"{cls.__name__}() takes {len(fields)} arguments, not {len(args)}")
    for name in keywords:
        if name not in fields:
            raise TypeError(f"{cls.__name__}() has no field '{name}'")
        if name in fields[: len(args)]:
            raise TypeError(f"{cls.__name__}() got '{name}' twice")
    values = list(args)
    for name in fields[len(args) :]:
        if name in keywords:
            values.append(keywords[name])
        elif name in defaults:
            values.append(defaults[name])
        else:
            raise TypeError(f"{cls.__name__}() lacks '{name}'")
    return tuple(values)


def _comparisons(cls: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    remember = cls.__dict__["_hash"].__set__
    if len(fields) > 1:
        values: Callable[[Any], tuple[Any, ...]] = attrgetter(*fields)
    else:
        # attrgetter gives no tuple for one name; in a tuple, a NaN equals itself.
        def values(self: Any) -> tuple[Any, ...]:
            return tuple([getattr(self, name) for name in fields])

    def __eq__(self: Any, other: object) -> Any:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return values(self) == values(other)

    def __hash__(self: Any) -> int:
        # An op is asked for its hash at every node that bears it.
        try:
            found: int = self._hash
        except AttributeError:
            found = hash(values(self))
            remember(self, found)
        return found

    return {"__eq__": __eq__, "__hash__": __hash__}


def _repr(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({fields})"


def _reduce(self: Any) -> tuple[type, tuple[Any, ...]]:
    return type(self), tuple([getattr(self, name) for name in self.__match_args__])


def _refuse(self: Any, name: str, *value: Any) -> NoReturn:
    raise AttributeError(f"{type(self).__name__}.{name} cannot be changed: it is a record")
