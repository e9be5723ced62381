"""Where in the user's code an operation was written, and to which variable its value goes.

Both are read from the calling frame: the line, and the bytecode that follows the call. In

    hidden = np.tanh(x @ W + b)

the instruction after the call of `np.tanh` stores into `hidden`, so that is the value's name; the
instruction after `x @ W` does not store, so that value has none. No source text is needed, and
what is found is remembered for each code object: about half a microsecond an operation.
"""

from __future__ import annotations

import opcode
import sys
from bisect import bisect_right
from types import CodeType, FrameType

from graphc import nodes
from graphc.errors import PASSED_OVER, location
from graphc.ir import Origin

_CACHE = opcode.opmap.get("CACHE", -1)
_EXTENDED_ARG = opcode.opmap["EXTENDED_ARG"]
_COPY = opcode.opmap.get("COPY", -1)
_RETURN = opcode.opmap["RETURN_VALUE"]
_UNPACK = opcode.opmap["UNPACK_SEQUENCE"]
_STORES = {
    opcode.opmap[name]: name
    for name in ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF", "STORE_FAST_LOAD_FAST")
    if name in opcode.opmap
}
_CALLS = frozenset(code for name, code in opcode.opmap.items() if name.startswith("CALL"))
# How many returns are followed outwards: `h = dense(x)`, whose `dense` returns `relu(...)`.
_MAX_RETURNS = 16


class _Site:
    """What is known of one instruction."""

    __slots__ = ("call", "names", "origin", "returns")

    def __init__(self, origin: Origin, names: tuple[str, ...], call: bool, returns: bool) -> None:
        self.origin = origin
        self.names = names
        self.call = call
        self.returns = returns


class _Code:
    """What is known of one code object. It holds the code object, so that its id stays its own."""

    __slots__ = ("_bytes", "_lines", "_starts", "_variables", "code", "ours", "sites")

    def __init__(self, code: CodeType, ours: bool) -> None:
        self.code = code
        self.ours = ours
        self.sites: dict[int, _Site] = {}
        self._bytes = b""
        self._starts: list[int] = []
        self._lines: list[int] = []
        self._variables: tuple[str, ...] = ()

    def site(self, at: int) -> _Site:
        """The instruction at byte offset `at`, which is a frame's `f_lasti`."""
        code = self.code
        if not self._bytes:
            self._bytes = code.co_code
            for start, _, line in code.co_lines():
                self._starts.append(start)
                self._lines.append(line or code.co_firstlineno)
        place = bisect_right(self._starts, at) - 1
        line = self._lines[place] if place >= 0 else code.co_firstlineno
        first = at
        while first > 0 and self._bytes[first] == _CACHE:
            first -= 2  # a call of a Python function leaves the frame at the call's last cache
        operation = self._bytes[first] if first >= 0 else _CACHE
        names, returns = self._what_follows(at + 2)
        if operation != _UNPACK:
            names = names[:1]
        site = _Site(
            Origin(code.co_filename, line, code.co_qualname), names, operation in _CALLS, returns
        )
        self.sites[at] = site
        return site

    def _what_follows(self, at: int) -> tuple[tuple[str, ...], bool]:
        """The variables stored to next, and whether the function returns next."""
        code, names = self._bytes, []
        argument = 0
        while at < len(code):
            operation, argument = code[at], argument << 8 | code[at + 1]
            at += 2
            if operation == _EXTENDED_ARG:
                continue
            if operation in _STORES:
                names.append(self._variable(_STORES[operation], argument))
            elif operation == _RETURN:
                return tuple(names), not names
            elif operation not in (_CACHE, _COPY):
                break
            argument = 0
        return tuple(names), False

    def _variable(self, store: str, argument: int) -> str:
        code = self.code
        if store in ("STORE_NAME", "STORE_GLOBAL"):
            return code.co_names[argument]
        if store == "STORE_FAST_LOAD_FAST":
            argument >>= 4
        if not self._variables:
            own = code.co_varnames
            cells = tuple(name for name in code.co_cellvars if name not in own)
            self._variables = own + cells + code.co_freevars
        return self._variables[argument]


_codes: dict[int, _Code] = {}


def _code(frame: FrameType) -> _Code:
    code = frame.f_code
    known = _codes.get(id(code))
    if known is None:
        module = frame.f_globals.get("__name__") or ""
        known = _codes[id(code)] = _Code(code, module.partition(".")[0] in PASSED_OVER)
    return known


def here(operator: bool = False) -> str:
    """Declares where the user's operation stands, and returns its variable's name ("" if none).

    operator: the operation is one of Python's operators. Reached from a call (`sum(terms)`,
        `functools.reduce`), its result is a partial one, and the variable is not its name.
    """
    if location.get() is not None:
        return ""  # a graph file is being read: its reader says where
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        known = _code(frame)
        if not known.ours:
            site = known.sites.get(frame.f_lasti) or known.site(frame.f_lasti)
            nodes.origin.set(site.origin)
            if site.returns:
                return _name_of_return(frame)
            if not site.names or (operator and site.call):
                return ""
            return _clean(site.names[0])
        frame = frame.f_back
    return ""


def _name_of_return(frame: FrameType) -> str:
    """The variable that the caller assigns what `frame` returns."""
    for _ in range(_MAX_RETURNS):
        outer = frame.f_back
        if outer is None:
            return ""
        known = _code(outer)
        if known.ours:
            return ""
        site = known.sites.get(outer.f_lasti) or known.site(outer.f_lasti)
        if not site.call:
            return ""
        if not site.returns:
            return _clean(site.names[0]) if site.names else ""
        frame = outer
    return ""


def names_here() -> tuple[str, ...]:
    """The variables that the user's statement unpacks a value into: `a, b = x`."""
    if location.get() is not None:
        return ()
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        known = _code(frame)
        if not known.ours:
            site = known.sites.get(frame.f_lasti) or known.site(frame.f_lasti)
            nodes.origin.set(site.origin)
            return () if site.call else tuple(map(_clean, site.names))
        frame = frame.f_back
    return ()


def _clean(name: str) -> str:
    return "" if name == "_" or name.startswith("__") else name
