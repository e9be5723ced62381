"""The command line: `graphc run | draw | show | export | check | cache`.

Exit status: 0 done; 1 an exported file is stale, or a gradient differs; 2 bad input, told in one
line on stderr, never by a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from graphc.errors import GraphError

STALE = 1
BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


class _Parser(argparse.ArgumentParser):
    """argparse, whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names may be any Unicode text
    try:
        options = _parser().parse_args(argv)
        status = _command(options)
        sys.stdout.flush()
    except GraphError as error:
        return _fail(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # Whoever read our output has gone; nothing more can be written, at exit neither.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        named = f"{error.filename}: " if error.filename else ""
        return _fail(f"{named}{error.strerror or error}")
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _fail(message: str) -> int:
    line = message.partition("\n")[0]
    print(f"graphc: {line}", file=sys.stderr)
    return BAD_INPUT


def _command(options: argparse.Namespace) -> int:
    from graphc import commands

    match options.command:
        case "run":
            return commands.run(options.target, options.set, options.of, options.local)
        case "draw":
            return commands.draw(options.target, options.output, options.set, options.of)
        case "show":
            return commands.show(options.target, options.wrt, options.of)
        case "export":
            return commands.export(
                options.target, options.output, options.wrt, options.of, options.check
            )
        case "check":
            return commands.check(options.target, options.set, options.size, options.of)
        case "derivation":
            return commands.derivation(options.function)
    return commands.cache(options.action)


def _parser() -> _Parser:
    import graphc

    parser = _Parser(
        prog="graphc",
        description="A compiler for gradients: symbolic graphs in, readable NumPy out.",
        epilog="example: graphc run examples/circuit.toml --set x=-1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"graphc {graphc.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    run = _sub(
        commands,
        "run",
        "every node's value and gradient, as a table",
        "graphc run circuit.toml --set x=-2 --set y=5",
    )
    _set(run)
    _of(run)
    run.add_argument("--local", action="store_true", help="the gates' local gradients, too")
    draw = _sub(
        commands,
        "draw",
        "a picture of the gates, values and gradients on their wires, as SVG",
        "graphc draw circuit.toml -o circuit.svg --set x=-2",
    )
    draw.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write")
    _set(draw)
    _of(draw)
    show = _sub(
        commands,
        "show",
        "the emitted source",
        "graphc show circuit.toml\n  graphc show model.py:loss",
    )
    _wrt(show)
    _of(show)
    export = _sub(
        commands,
        "export",
        "the emitted source as a module that needs NumPy alone",
        "graphc export pkg.model:loss -o grad.py\n"
        "  graphc export pkg.model:loss -o grad.py --check",
    )
    export.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write")
    export.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the file is stale"
    )
    _wrt(export)
    _of(export)
    check = _sub(
        commands,
        "check",
        "every gradient against a numerical one; exit 1 if one differs",
        "graphc check circuit.toml\n  graphc check pkg.model:loss --size batch=4",
    )
    _set(check)
    check.add_argument(
        "--size",
        action="append",
        default=[],
        metavar="NAME=N",
        help="a named size, for inputs that are not set (default 3); these are drawn at random",
    )
    _of(check)
    derivation = commands.add_parser(
        "derivation",
        help="how a function is differentiated, in which form, and why",
        description="How a function is differentiated, in which form, and why; without a name, "
        "where every derivative comes from.",
        epilog="example:\n  graphc derivation softplus",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    derivation.add_argument("function", nargs="?", help="an op: softplus, solve, cumprod")
    cache = commands.add_parser(
        "cache",
        help="the cache of compiled sources",
        description="The cache of compiled sources: where it is, or remove it.",
        epilog="example:\n  graphc cache info",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cache.add_argument("action", choices=("info", "clear"))
    return parser


def _sub(
    commands: argparse._SubParsersAction[_Parser], name: str, does: str, example: str
) -> _Parser:
    parser: _Parser = commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target", help="a graph: circuit.toml, or a Python name: pkg.model:loss, model.py:loss"
    )
    return parser


def _set(parser: _Parser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an input's value, a number or a list: x=-2, x=[1, 2]; before the file's [example]",
    )


def _of(parser: _Parser) -> None:
    parser.add_argument("--of", metavar="OUTPUT", help="the output to differentiate")


def _wrt(parser: _Parser) -> None:
    parser.add_argument("--wrt", metavar="NAMES", help="what to differentiate by: x,y")


if __name__ == "__main__":
    sys.exit(main())
