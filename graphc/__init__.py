"""graphc: a compiler for gradients of NumPy code. Its public names, and nothing else.

What needs more than a light import is fetched on first use.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import codegen as _codegen

_theirs = getattr(_codegen, "__file__", None) or "a namespace package"
if _theirs.rpartition("codegen")[0] != __file__.rpartition("graphc")[0]:
    raise ImportError(
        f"graphc needs its own package `codegen`, and found another one: {_theirs}. "
        "Remove that distribution, or put graphc's folder first on sys.path."
    )

if TYPE_CHECKING:
    from codegen.types import ArrayType, Dim
    from graphc.autodiff import grad, value_and_grad, vjp
    from graphc.builder import Builder
    from graphc.compiled import Compiled, compile
    from graphc.convolution import (
        circular_convolution,
        conv,
        conv1d,
        conv2d,
        conv3d,
        conv_transpose,
    )
    from graphc.custom import contraction, elementwise, primitive
    from graphc.derive.lookup import derivation
    from graphc.errors import (
        GraphAttributeError,
        GraphError,
        GraphNameError,
        GraphSyntaxError,
        GraphTypeError,
        GraphValueError,
    )
    from graphc.graph import Graph
    from graphc.inspect.check import check_grads
    from graphc.layers import (
        attention,
        batch_norm,
        cosine_similarity,
        dropout,
        embedding,
        group_norm,
        gru_cell,
        layer_norm,
        lstm_cell,
    )
    from graphc.linear import expm, solve_triangular
    from graphc.nn import (
        arange,
        at,
        clip,
        constant,
        cross_entropy,
        elu,
        erf,
        erfc,
        gelu,
        log_sigmoid,
        log_softmax,
        logsumexp,
        one_hot,
        relu,
        sigmoid,
        silu,
        size,
        softmax,
        softplus,
        stop_gradient,
        xlogy,
    )
    from graphc.pooling import (
        avg_pool,
        local_response_norm,
        max_pool,
    )
    from graphc.rewrite.stabilise import StabilityWarning
    from graphc.scopes import name_scope
    from graphc.special import (
        beta,
        betaln,
        digamma,
        entr,
        erfcinv,
        erfcx,
        erfinv,
        expit,
        gamma,
        gammaln,
        hard_sigmoid,
        hard_swish,
        hard_tanh,
        huber,
        i0,
        i0e,
        i1,
        i1e,
        j0,
        j1,
        leaky_relu,
        log_expit,
        log_ndtr,
        logit,
        mish,
        ndtr,
        ndtri,
        polygamma,
        rel_entr,
        selu,
        trigamma,
        xlog1py,
        y0,
        y1,
    )
    from graphc.textual import dump, dumps, load, loads
    from graphc.tracing import param, trace
    from graphc.training import initialisers, optimizers, schedules
    from graphc.training.initialise import init_params
    from graphc.training.loop import fit
    from graphc.training.objective import scipy_objective
    from graphc.training.step import train_step
    from graphc.training.storage import load_params, save_params
    from graphc.transforms import hessian, hvp, jacobian, jacobian_structure, jvp
    from graphc.values import Value

# Where each public name lives. `compile`, `load` and others would be heavy to import up front.
_HOMES = {
    "ArrayType": "codegen.types",
    "Builder": "graphc.builder",
    "Compiled": "graphc.compiled",
    "Dim": "codegen.types",
    "Graph": "graphc.graph",
    "GraphAttributeError": "graphc.errors",
    "GraphError": "graphc.errors",
    "GraphNameError": "graphc.errors",
    "GraphSyntaxError": "graphc.errors",
    "GraphTypeError": "graphc.errors",
    "GraphValueError": "graphc.errors",
    "StabilityWarning": "graphc.rewrite.stabilise",
    "Value": "graphc.values",
    "arange": "graphc.nn",
    "at": "graphc.nn",
    "attention": "graphc.layers",
    "avg_pool": "graphc.pooling",
    "batch_norm": "graphc.layers",
    "beta": "graphc.special",
    "betaln": "graphc.special",
    "check_grads": "graphc.inspect.check",
    "circular_convolution": "graphc.convolution",
    "clip": "graphc.nn",
    "compile": "graphc.compiled",
    "constant": "graphc.nn",
    "contraction": "graphc.custom",
    "conv": "graphc.convolution",
    "conv1d": "graphc.convolution",
    "conv2d": "graphc.convolution",
    "conv3d": "graphc.convolution",
    "conv_transpose": "graphc.convolution",
    "cosine_similarity": "graphc.layers",
    "cross_entropy": "graphc.nn",
    "derivation": "graphc.derive.lookup",
    "digamma": "graphc.special",
    "dropout": "graphc.layers",
    "dump": "graphc.textual",
    "dumps": "graphc.textual",
    "elementwise": "graphc.custom",
    "elu": "graphc.nn",
    "embedding": "graphc.layers",
    "entr": "graphc.special",
    "erf": "graphc.nn",
    "erfc": "graphc.nn",
    "erfcinv": "graphc.special",
    "erfcx": "graphc.special",
    "erfinv": "graphc.special",
    "expit": "graphc.special",
    "expm": "graphc.linear",
    "fit": "graphc.training.loop",
    "gamma": "graphc.special",
    "gammaln": "graphc.special",
    "gelu": "graphc.nn",
    "grad": "graphc.autodiff",
    "group_norm": "graphc.layers",
    "gru_cell": "graphc.layers",
    "hard_sigmoid": "graphc.special",
    "hard_swish": "graphc.special",
    "hard_tanh": "graphc.special",
    "hessian": "graphc.transforms",
    "huber": "graphc.special",
    "hvp": "graphc.transforms",
    "i0": "graphc.special",
    "i0e": "graphc.special",
    "i1": "graphc.special",
    "i1e": "graphc.special",
    "init_params": "graphc.training.initialise",
    "initialisers": "graphc.training.initialisers",
    "j0": "graphc.special",
    "j1": "graphc.special",
    "jacobian": "graphc.transforms",
    "jacobian_structure": "graphc.transforms",
    "jvp": "graphc.transforms",
    "layer_norm": "graphc.layers",
    "leaky_relu": "graphc.special",
    "load": "graphc.textual",
    "load_params": "graphc.training.storage",
    "loads": "graphc.textual",
    "local_response_norm": "graphc.pooling",
    "log_expit": "graphc.special",
    "log_ndtr": "graphc.special",
    "log_sigmoid": "graphc.nn",
    "log_softmax": "graphc.nn",
    "logit": "graphc.special",
    "logsumexp": "graphc.nn",
    "lstm_cell": "graphc.layers",
    "max_pool": "graphc.pooling",
    "mish": "graphc.special",
    "name_scope": "graphc.scopes",
    "ndtr": "graphc.special",
    "ndtri": "graphc.special",
    "one_hot": "graphc.nn",
    "optimizers": "graphc.training.optimizers",
    "param": "graphc.tracing",
    "polygamma": "graphc.special",
    "primitive": "graphc.custom",
    "rel_entr": "graphc.special",
    "relu": "graphc.nn",
    "save_params": "graphc.training.storage",
    "schedules": "graphc.training.schedules",
    "scipy_objective": "graphc.training.objective",
    "selu": "graphc.special",
    "sigmoid": "graphc.nn",
    "silu": "graphc.nn",
    "size": "graphc.nn",
    "softmax": "graphc.nn",
    "softplus": "graphc.nn",
    "solve_triangular": "graphc.linear",
    "stop_gradient": "graphc.nn",
    "trace": "graphc.tracing",
    "train_step": "graphc.training.step",
    "trigamma": "graphc.special",
    "value_and_grad": "graphc.autodiff",
    "vjp": "graphc.autodiff",
    "xlog1py": "graphc.special",
    "xlogy": "graphc.nn",
    "y0": "graphc.special",
    "y1": "graphc.special",
}

__all__ = [
    "ArrayType",
    "Builder",
    "Compiled",
    "Dim",
    "Graph",
    "GraphAttributeError",
    "GraphError",
    "GraphNameError",
    "GraphSyntaxError",
    "GraphTypeError",
    "GraphValueError",
    "StabilityWarning",
    "Value",
    "arange",
    "at",
    "attention",
    "avg_pool",
    "batch_norm",
    "beta",
    "betaln",
    "check_grads",
    "circular_convolution",
    "clip",
    "compile",
    "constant",
    "contraction",
    "conv",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose",
    "cosine_similarity",
    "cross_entropy",
    "derivation",
    "digamma",
    "dropout",
    "dump",
    "dumps",
    "elementwise",
    "elu",
    "embedding",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "expit",
    "expm",
    "fit",
    "gamma",
    "gammaln",
    "gelu",
    "grad",
    "group_norm",
    "gru_cell",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "hessian",
    "huber",
    "hvp",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "init_params",
    "initialisers",
    "j0",
    "j1",
    "jacobian",
    "jacobian_structure",
    "jvp",
    "layer_norm",
    "leaky_relu",
    "load",
    "load_params",
    "loads",
    "local_response_norm",
    "log_expit",
    "log_ndtr",
    "log_sigmoid",
    "log_softmax",
    "logit",
    "logsumexp",
    "lstm_cell",
    "max_pool",
    "mish",
    "name_scope",
    "ndtr",
    "ndtri",
    "one_hot",
    "optimizers",
    "param",
    "polygamma",
    "primitive",
    "rel_entr",
    "relu",
    "save_params",
    "schedules",
    "scipy_objective",
    "selu",
    "sigmoid",
    "silu",
    "size",
    "softmax",
    "softplus",
    "solve_triangular",
    "stop_gradient",
    "trace",
    "train_step",
    "trigamma",
    "value_and_grad",
    "vjp",
    "xlog1py",
    "xlogy",
    "y0",
    "y1",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        # With the name and the module Python itself asks "Did you mean ...?".
        message = f"module 'graphc' has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])
    from importlib import import_module

    module = import_module(home)
    # A name's home is the module that has it, or the module of that name itself.
    value = module if home.endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
