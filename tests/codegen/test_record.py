"""A record is a frozen dataclass with slots in all that its users see."""

import copy
import inspect
import math
import pickle
from dataclasses import dataclass

import pytest

from codegen.record import record, struct


@record
class Point:
    """Where."""

    x: int
    y: float = 0.5
    label: str = ""

    @property
    def far(self):
        return self.x > 10


@dataclass(frozen=True, slots=True)
class Model:
    x: int
    y: float = 0.5
    label: str = ""


@record
class Other:
    x: int
    y: float = 0.5
    label: str = ""


@record
class Single:
    value: float


@record
class Nothing:
    pass


@pytest.mark.parametrize(
    ("args", "keywords"),
    [((1,), {}), ((1, 2.0), {}), ((1, 2.0, "a"), {}), ((), {"x": 3}), ((4,), {"label": "b"})],
)
def test_it_is_made_and_read_like_a_dataclass(args, keywords):
    found, model = Point(*args, **keywords), Model(*args, **keywords)
    for name in ("x", "y", "label"):
        assert getattr(found, name) == getattr(model, name)
    assert repr(found) == repr(model).replace("Model", "Point")
    assert hash(found) == hash(model)
    assert found == Point(*args, **keywords)
    assert hash(found) == hash(Point(*args, **keywords))


@pytest.mark.parametrize(
    ("args", "keywords", "message"),
    [
        ((), {}, "lacks 'x'"),
        ((1, 2.0, "a", 4), {}, "takes 3 arguments, not 4"),
        ((1,), {"z": 2}, "no field 'z'"),
        ((1,), {"x": 2}, "got 'x' twice"),
    ],
)
def test_wrong_arguments_are_type_errors(args, keywords, message):
    with pytest.raises(TypeError, match=message):
        Point(*args, **keywords)
    with pytest.raises(TypeError):
        Model(*args, **keywords)


def test_equality_is_by_class_and_fields():
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert Point(1) != (1, 0.5, "")
    assert len({Point(1), Point(1), Other(1)}) == 2
    assert Single(math.nan) == Single(math.nan), "as in a tuple, one object equals itself"
    assert Single(1.0) != Single(2.0)
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(())


def test_it_is_frozen_and_slotted():
    point = Point(1)
    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        point.x = 2
    with pytest.raises(AttributeError, match="cannot be changed"):
        del point.x
    with pytest.raises(AttributeError, match="cannot be changed"):
        point.new = 2
    assert not hasattr(point, "__dict__")
    assert point == Point(1)


def test_methods_documentation_and_patterns_survive():
    assert Point(11).far
    assert not Point(1).far
    assert inspect.getdoc(Point) == "Where."
    assert Point.__module__ == __name__
    match Point(3, label="c"):
        case Point(x, _, label):
            assert (x, label) == (3, "c")


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_copies_are_equal(copied):
    assert copied(Point(7, 1.5, "p")) == Point(7, 1.5, "p")
    assert copied(Nothing()) == Nothing()


def test_methods_of_the_class_itself_win():
    @record
    class Loud:
        value: int

        def __repr__(self):
            return "LOUD"

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 4

    assert repr(Loud(1)) == "LOUD"
    assert Loud(1) == Loud(2)
    assert hash(Loud(1)) == 4


@struct
class Cell:
    """A struct's fields change, and it is equal to itself alone."""

    x: int
    y: float = 0.5


def test_a_struct_changes_and_is_equal_to_itself_alone():
    cell = Cell(1)
    cell.x = 2
    assert (cell.x, cell.y) == (2, 0.5)
    assert cell != Cell(2)
    assert len({cell, Cell(2), cell}) == 2
    assert not hasattr(cell, "__dict__")
    with pytest.raises(TypeError, match="lacks 'x'"):
        Cell(y=1.0)


def test_equal_records_have_one_hash_however_often_it_is_asked_for():
    first, second = Point(1, 2.0), Point(1, 2.0)
    assert hash(first) == hash(first) == hash(second) == hash(pickle.loads(pickle.dumps(first)))
    assert Point.__match_args__ == ("x", "y", "label")
