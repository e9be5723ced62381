"""Entry checks: one condition on the fast path; conversion and errors in a function below.

The fast path compares types, dtypes and shapes, straight-line. What fails there goes to the
module's `_check_inputs`, which converts what converts safely and raises one clear line for anything
else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.names import Names, quoted
from codegen.program import Entry, SizeRule, Var
from codegen.record import record
from codegen.source import Assign, Blank, Block, Do, Lines, Return, Source
from codegen.types import size_names, size_text

_CHECKED = {"f64": "F64", "f32": "F32", "i64": "I64", "i32": "I32", "bool": "BOOL"}
Binds = dict[tuple[Var, int], SizeRule]
# The width of a chain of comparisons, with room for its indentation and an `and`.
_CHAIN = 72
# A function of more inputs is not headed by what they should be.
_MANY_INPUTS = 16
_PYTHON = {"f64": "float", "bool": "bool"}


@record
class Input:
    """A leaf that is checked: its Var, the user's name for it, and its identifier."""

    var: Var
    name: str
    text: str


@record
class Check:
    """What the entry of one function becomes.

    condition: what holds of inputs that need no conversion; empty where nothing is checked.
    body: the statements of the checking function, between its docstring and its `return`.
    others: arguments that are taken as they are, but which bind sizes.
    """

    inputs: tuple[Input, ...]
    condition: str
    body: tuple[Source, ...]
    others: tuple[str, ...] = ()

    @property
    def aside(self) -> bool:
        """Whether the condition stands in the checking function: a reader of a function of many
        inputs looks for its formulas."""
        return len(self.inputs) > _MANY_INPUTS

    @property
    def names(self) -> str:
        """The inputs, as arguments and as targets."""
        return ", ".join(item.text for item in self.inputs)

    @property
    def arguments(self) -> str:
        """What the checking function takes: the inputs, and the arrays that bind their sizes."""
        return ", ".join([*(item.text for item in self.inputs), *self.others])


def axis_text(text: str, axis: int) -> str:
    """The size of an axis."""
    return f"{text}.shape[{axis}]"


def size_bindings(entry: Entry, texts: Mapping[Var, str]) -> dict[str, str]:
    """For every named size, the expression that solves for it."""
    bound: dict[str, str] = {}
    for rule in entry.sizes:
        text = axis_text(texts[rule.var], rule.axis)
        if rule.offset:
            text = f"({text} {'-' if rule.offset > 0 else '+'} {abs(rule.offset)})"
        if rule.scale != 1:
            text = f"{text} // {rule.scale}"
        bound.setdefault(rule.name, text)
    return bound


def check(
    entry: Entry,
    inputs: tuple[Input, ...],
    texts: Mapping[Var, str],
    scalar_mode: bool,
    where: str,
    donated: Sequence[str] = (),
) -> Check:
    """The check of these inputs. texts: the identifier of every argument; where: the name that
    errors begin with; donated: the identifiers of arrays that may be overwritten."""
    checked = {item.var for item in inputs}
    solved = size_bindings(entry, texts)
    rename = {name: _grouped(text) for name, text in solved.items()}
    binds = {(rule.var, rule.axis): rule for rule in reversed(entry.sizes) if rule.var in checked}
    terms = _type_terms(inputs, scalar_mode)
    for item in inputs:
        terms.extend(_shape_terms(item, binds, rename))
    for rule in entry.sizes:
        if rule.offset > 0 or rule.scale != 1:
            terms.append(f"{rename[rule.name]} >= 0")
    for a, b, _ in entry.equal:
        terms.append(f"{size_text(a, rename)} == {size_text(b, rename)}")
    for a, b, _ in entry.enough:
        terms.append(f"{size_text(a, rename)} >= {size_text(b, rename)}")
    if len(donated) > 1:
        terms.append(f"_distinct({', '.join(donated)})")
    others = tuple(
        dict.fromkeys(
            texts[rule.var]
            for rule in entry.sizes
            if rule.var not in checked and _needed(rule.name, entry, inputs)
        )
    )
    body = _body(entry, inputs, solved, binds, others, where)
    if len(donated) > 1:
        message = f"{where}(): an array stands twice where arrays are given away: copy it"
        raising = Do(f"raise ValueError({quoted(message)})")
        body.append(Block(f"if not _distinct({', '.join(donated)}):", [raising]))
    return Check(inputs, " and ".join(terms), tuple(body), others)


def _grouped(text: str) -> str:
    return f"({text})" if " " in text else text


def _type_terms(inputs: tuple[Input, ...], scalar_mode: bool) -> list[str]:
    terms: list[str] = []
    scalars = [item for item in inputs if not item.var.type.shape]
    for dtype in ("f64", "bool"):
        texts = [f"type({item.text})" for item in scalars if item.var.type.dtype == dtype]
        if dtype == "f64" or scalar_mode:
            terms.extend(_chains(texts, _PYTHON[dtype]))
    arrays = [item for item in inputs if item.var.type.shape and item.var.type.dtype in _CHECKED]
    terms.extend(_chains([f"type({item.text})" for item in arrays], "ndarray"))
    for dtype, name in _CHECKED.items():
        alike = [f"{item.text}.dtype" for item in arrays if item.var.type.dtype == dtype]
        terms.extend(_chains(alike, name))
        if dtype != "f64" and not (scalar_mode and dtype == "bool"):
            alike = [f"type({item.text})" for item in scalars if item.var.type.dtype == dtype]
            terms.extend(_chains(alike, f"{name}.type"))
    return terms


def _chains(texts: list[str], last: str) -> list[str]:
    """`a is b is last`, as many at a time as fit on a line."""
    chains: list[list[str]] = []
    for text in texts:
        if chains and sum(len(t) + 4 for t in chains[-1]) + len(text) + len(last) <= _CHAIN:
            chains[-1].append(text)
        else:
            chains.append([text])
    return [" is ".join([*chain, last]) for chain in chains]


def _shape_terms(item: Input, binds: Binds, rename: dict[str, str]) -> list[str]:
    """Conditions on one array's shape. Axes that bind a size are free."""
    shape = item.var.type.shape
    if not shape:
        return []
    free = [(item.var, axis) in binds for axis in range(len(shape))]
    if not any(free):
        sizes = [size_text(size, rename) for size in shape]
        comma = "," if len(sizes) == 1 else ""
        return [f"{item.text}.shape == ({', '.join(sizes)}{comma})"]
    rest = [size_text(size, rename) for size in shape[1:]]
    if free[0] and rest and not any(free[1:]) and binds[item.var, 0].scale == 1:
        comma = "," if len(rest) == 1 else ""
        return [f"{item.text}.shape[1:] == ({', '.join(rest)}{comma})"]
    terms = [f"{item.text}.ndim == {len(shape)}"]
    for axis, size in enumerate(shape):
        rule = binds.get((item.var, axis))
        exact = rule is None or rule.scale != 1
        if exact:
            terms.append(f"{axis_text(item.text, axis)} == {size_text(size, rename)}")
    return terms


# -- the slow path ---------------------------------------------------------------------------------


def _body(
    entry: Entry,
    inputs: tuple[Input, ...],
    solved: dict[str, str],
    binds: Binds,
    others: tuple[str, ...],
    where: str,
) -> list[Source]:
    body: list[Source] = []
    for item in inputs:
        kind = item.var.type
        if kind.dtype not in _CHECKED:
            continue
        arguments = f"{quoted(item.name)}, {item.text}, {_CHECKED[kind.dtype]}, {quoted(kind)}"
        if kind.shape:
            call = f"_as_array({arguments}, {len(kind.shape)})"
        else:
            call = f"_as_number({arguments})"
        body.append(Assign(item.text, call))
    used = [name for name in solved if _needed(name, entry, inputs)]
    scope = Names([*(item.text for item in inputs), *others])
    locals_ = {name: scope.fresh(name) for name in used}
    for name in used:
        body.append(Assign(locals_[name], solved[name]))
    binder = {rule.name: rule for rule in reversed(entry.sizes)}
    for name in used:
        rule = binder[name]
        if rule.offset > 0 or rule.scale != 1:
            text = f"{where}(): {rule.var.name} is too small: size {name} would be "
            raising = Do(f"raise ValueError({quoted(text)} + str({locals_[name]}))")
            body.append(Block(f"if {locals_[name]} < 0:", [raising]))
    for item in inputs:
        if item.var.type.shape and _shape_is_checked(item, binds):
            body.append(Do(_expect(item, entry, locals_)))
    wrong = [("!=", *pair) for pair in entry.equal] + [("<", *pair) for pair in entry.enough]
    for operator, a, b, message in wrong:
        left, right = size_text(a, locals_), size_text(b, locals_)
        raising = Do(f"raise ValueError({quoted(message)})")
        body.append(Block(f"if {left} {operator} {right}:", [raising]))
    return body


def _needed(name: str, entry: Entry, inputs: tuple[Input, ...]) -> bool:
    """Whether a size is mentioned where shapes are compared."""
    rule = next(rule for rule in entry.sizes if rule.name == name)
    mentions = sum(
        name in size_names(size) for item in inputs for size in item.var.type.shape
    ) + sum(
        name in size_names(size) for a, b, _ in (*entry.equal, *entry.enough) for size in (a, b)
    )
    bound_here = any(item.var is rule.var for item in inputs)
    return mentions > bound_here or rule.offset > 0 or rule.scale != 1


def _shape_is_checked(item: Input, binds: Binds) -> bool:
    return any(
        (item.var, axis) not in binds or binds[(item.var, axis)].scale != 1
        for axis in range(len(item.var.type.shape))
    )


def _expect(item: Input, entry: Entry, rename: dict[str, str]) -> str:
    """The call that compares one array's shape, and knows who bound the sizes in it."""
    sizes: list[str] = []
    binders: dict[str, str] = {}
    rules = {rule.name: rule for rule in reversed(entry.sizes)}
    for axis, size in enumerate(item.var.type.shape):
        mine = any(
            rule.var is item.var and rule.axis == axis and rule.scale == 1 for rule in entry.sizes
        )
        sizes.append(f"{item.text}.shape[{axis}]" if mine else size_text(size, rename))
        if not isinstance(size, int) and size.is_name and not mine:
            name = next(iter(size.names))
            if name in rules and rules[name].var is not item.var:
                binders[name] = rules[name].var.name
    comma = "," if len(sizes) == 1 else ""
    shape = f"({', '.join(sizes)}{comma})"
    arguments = f"{quoted(item.name)}, {item.text}, {shape}, {quoted(item.var.type)}"
    if binders:
        known = ", ".join(f"{quoted(name)}: {quoted(by)}" for name, by in binders.items())
        arguments += f", {{{known}}}"
    return f"_expect({arguments})"


def check_function(name: str, made: Check) -> Source:
    """`def _check_inputs(x, y)`: the inputs, converted, or an error."""
    doc = Lines(
        ['"""The inputs, converted where that loses nothing; else the error says which."""']
    )
    result = Return(f"({made.names})" if made.aside else made.names)
    body = [*made.body, result]
    if made.aside:
        body.insert(0, Block(f"if {made.condition}:", [result]))
    return Block(f"def {name}({made.arguments}):", [doc, *body])


def helpers(where: str, needs: set[str]) -> list[Source]:
    """The functions that the checking functions call, for the graph of this name."""
    sources: list[Source] = []
    for name in ("_as_array", "_as_number", "_expect", "_distinct", "_describe"):
        if name in needs:
            sources.append(Blank(2))
            sources.append(Lines(_HELPERS[name].format(where=where).strip("\n").splitlines()))
    return sources


_HELPERS = {
    "_as_array": '''
def _as_array(name, value, dtype, declared, ndim):
    """The value as an array of this dtype and rank, if the conversion is safe."""
    try:
        given = np.asarray(value)
    except ValueError as error:
        message = f"{where}(): {{name}} should be {{declared}}: {{error}}"
        raise ValueError(message) from None
    rule = "safe" if isinstance(value, (ndarray, np.generic)) else "same_kind"
    message = f"{where}(): {{name}} should be {{declared}}, got {{_describe(value)}}"
    if given.size and not np.can_cast(given.dtype, dtype, rule):
        raise TypeError(message)
    if given.ndim != ndim:
        raise ValueError(message)
    return given.astype(dtype, copy=False)
''',
    "_as_number": '''
def _as_number(name, value, dtype, declared):
    """The value as one number of this dtype: Python's own for f64 and bool."""
    given = np.asarray(value)
    rule = "safe" if isinstance(value, (ndarray, np.generic)) else "same_kind"
    message = f"{where}(): {{name}} should be {{declared}}, got {{_describe(value)}}"
    if given.ndim:
        raise ValueError(message)
    if given.dtype.kind not in "biuf" or not np.can_cast(given.dtype, dtype, rule):
        raise TypeError(message)
    number = dtype.type(given[()])
    return number.item() if dtype.char in "d?" else number
''',
    "_expect": '''
def _expect(name, value, shape, declared, bound_by={{}}):
    """Raise if the array has another shape than `shape`."""
    dims = declared.partition("[")[2][:-1].split(", ")
    for axis, (size, wanted) in enumerate(zip(value.shape, shape)):
        if size != wanted:
            text = f"axis {{axis}} is {{size}}, not {{wanted}}"
            if dims[axis] in bound_by:
                first = bound_by[dims[axis]]
                text = f"{{dims[axis]}} is {{wanted}} in {{first}} but {{size}} in {{name}}"
            wanted = f"{where}(): {{name}} should be {{declared}}"
            raise ValueError(f"{{wanted}}, got {{_describe(value)}}: {{text}}")
''',
    "_distinct": '''
def _distinct(*arrays):
    """Whether no array is given twice: what is written into one would change the other."""
    return len(set(map(id, arrays))) == len(arrays)
''',
    "_describe": '''
def _describe(value):
    """The type of a value, as declarations spell it."""
    if not isinstance(value, (ndarray, np.generic)):
        return type(value).__name__
    short = {{"float64": "f64", "float32": "f32", "int64": "i64", "int32": "i32"}}
    dtype = short.get(value.dtype.name, value.dtype.name)
    shape = ", ".join(map(str, value.shape))
    return f"{{dtype}}[{{shape}}]" if value.ndim else dtype
''',
}
