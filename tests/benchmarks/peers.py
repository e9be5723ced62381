"""Value and gradient of a case by other libraries, as their users would call them.

Each maker returns (call, results): `call` runs to the end, `results(outcome)` are NumPy arrays.
Arguments are converted once, outside the call.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

Peer = tuple[Callable[[], Any], Callable[[Any], tuple[Any, tuple[Any, ...]]]]


def available() -> dict[str, Callable[[Any], Peer]]:
    """The makers whose library is installed."""
    makers = {
        "jax": jax,
        "torch": torch,
        "torch.compile": torch_compile,
        "autograd": autograd,
        "pytensor": pytensor,
        "casadi": casadi,
    }
    return {
        name: make
        for name, make in makers.items()
        if importlib.util.find_spec(name.partition(".")[0])
    }


def version(name: str) -> str:
    """The installed version of a library."""
    return importlib.metadata.version(name)


def _positions(case: Any) -> tuple[int, ...]:
    names = list(case.arguments)
    return tuple(names.index(name) for name in case.wrt)


def jax(case: Any) -> Peer:
    """Jitted; a call ends when its results are ready."""
    import jax

    jax.config.update("jax_enable_x64", True)
    step = jax.jit(jax.value_and_grad(case.peers["jax"], argnums=_positions(case)))
    arguments = [jax.numpy.asarray(argument) for argument in case.arguments.values()]

    def call() -> Any:
        return jax.block_until_ready(step(*arguments))

    return call, lambda outcome: (np.asarray(outcome[0]), tuple(map(np.asarray, outcome[1])))


def torch(case: Any) -> Peer:
    """Eager, one thread."""
    return _torch(case, case.peers["torch"])


def torch_compile(case: Any) -> Peer:
    """torch.compile with its defaults, one thread."""
    import torch

    return _torch(case, torch.compile(case.peers["torch"], dynamic=False))


def _torch(case: Any, loss: Any) -> Peer:
    import torch

    torch.set_num_threads(1)
    positions = _positions(case)
    arguments = [
        torch.tensor(argument, dtype=torch.float64)
        if isinstance(argument, float)
        else torch.tensor(argument)
        for argument in case.arguments.values()
    ]
    for position in positions:
        arguments[position].requires_grad_()
    leaves = [arguments[position] for position in positions]

    def call() -> Any:
        value = loss(*arguments)
        return value, torch.autograd.grad(value, leaves)

    return call, lambda outcome: (
        outcome[0].detach().numpy(),
        tuple(part.numpy() for part in outcome[1]),
    )


def autograd(case: Any) -> Peer:
    """HIPS autograd."""
    import autograd

    arguments = tuple(case.arguments.values())
    step = autograd.value_and_grad(case.peers["autograd"], argnum=_positions(case))
    return lambda: step(*arguments), lambda outcome: (outcome[0], tuple(outcome[1]))


def pytensor(case: Any) -> Peer:
    """A function of typed variables, compiled in the default mode."""
    import pytensor
    import pytensor.tensor as pt

    variables = []
    for name, argument in case.arguments.items():
        array = np.asarray(argument)
        kind = pt.TensorType(array.dtype.name, shape=array.shape)
        variables.append(kind(name))
    value = case.peers["pytensor"](*variables)
    by = [variables[position] for position in _positions(case)]
    step = pytensor.function(variables, [value, *pytensor.grad(value, by)])
    arguments = [np.asarray(argument) for argument in case.arguments.values()]
    return lambda: step(*arguments), lambda outcome: (outcome[0], tuple(outcome[1:]))


def casadi(case: Any) -> Peer:
    """A graph of scalars, run by CasADi's virtual machine."""
    import casadi

    variables = [casadi.SX.sym(name, np.size(value)) for name, value in case.arguments.items()]
    value = case.peers["casadi"](*variables)
    by = [variables[position] for position in _positions(case)]
    step = casadi.Function("step", variables, [value, *(casadi.gradient(value, x) for x in by)])
    arguments = list(case.arguments.values())

    def results(outcome: Any) -> tuple[Any, tuple[Any, ...]]:
        shapes = [np.shape(argument) for argument in case.arguments.values()]
        arrays = [np.asarray(part) for part in outcome]
        grads = zip(arrays[1:], _positions(case), strict=True)
        return arrays[0].item(), tuple(grad.reshape(shapes[at]) for grad, at in grads)

    return lambda: step(*arguments), results
