"""Donated arguments: whatever is written where, results are those of a call that gives nothing."""

import numpy as np
import pytest

import graphc

RNG = np.random.default_rng(3)
SHAPE = (64, 512)  # large enough to be worth the care


def views(w, g):
    return {"turned": w.T, "moved": w - g, "rows": w[::2] * 2}


def late_reader(w, g):
    new = w * 2 - g
    return {"new": new, "loss": (w * g).sum(), "again": np.tanh(w)}


def returned_as_it_is(w, g):
    return {"w": w, "g": g + w, "twice": w}


def matmuls(w, g):
    h = w @ g.T
    return {"h": h, "w": w + h @ g, "g": g - h @ w}


def in_a_reduction(w, g):
    scaled = w / (np.abs(w).max() + 1)
    return {"scaled": scaled, "norm": np.sqrt((w * w).sum()), "g": np.exp(g) * scaled}


def broadcast(w, g):
    return {"w": w - g.mean(axis=0), "g": g * w[:, :1] + w}


def swapped(w, g):
    return {"w": g * 1.5, "g": w * 0.5 + g}


def scattered(w, g):
    return {"w": graphc.at(w)[np.array([0, 3, 3])].add(g[:3]), "g": g - w[0]}


FUNCTIONS = [
    views,
    late_reader,
    returned_as_it_is,
    matmuls,
    in_a_reduction,
    broadcast,
    swapped,
    scattered,
]


@pytest.mark.parametrize("donate", [("w",), ("g",), ("w", "g")], ids=str)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_results_are_those_of_a_call_that_gives_nothing(function, donate):
    g = graphc.trace(function, w=f"f64[{SHAPE[0]}, {SHAPE[1]}]", g=f"f64[{SHAPE[0]}, {SHAPE[1]}]")
    given = {"w": RNG.normal(size=SHAPE), "g": RNG.normal(size=SHAPE)}
    expected = graphc.compile(g, ())(**{name: array.copy() for name, array in given.items()})
    copies = {name: array.copy() for name, array in given.items()}
    found = graphc.compile(g, (), donate=donate)(**copies)
    assert found._fields == expected._fields
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    arrays = [part for part in found if np.ndim(part)]
    for k, a in enumerate(arrays):
        assert a.flags.writeable
        for b in arrays[k + 1 :]:
            assert not np.shares_memory(a, b)
    for name in {"w", "g"} - set(donate):
        np.testing.assert_array_equal(copies[name], given[name])


def test_forward_and_backward_give_nothing_away():
    @graphc.trace(x="f64[64, 512]", w=graphc.param("f64[64, 512]"))
    def loss(x, w):
        return (np.tanh(x * w) * w).sum()

    x, w = RNG.normal(size=SHAPE), RNG.normal(size=SHAPE)
    plain = graphc.compile(loss).value_and_grad(x, w)
    f = graphc.compile(loss, donate=("w",))
    kept = w.copy()
    outputs, saved = f.forward(x, kept)
    np.testing.assert_array_equal(kept, w)
    np.testing.assert_allclose(f.backward(saved).w, plain[1].w, rtol=1e-13)
    np.testing.assert_array_equal(kept, w)
    assert outputs == pytest.approx(plain[0])
    value, grads = f.value_and_grad(x, kept)
    assert value == pytest.approx(plain[0])
    np.testing.assert_allclose(grads.w, plain[1].w, rtol=1e-13)


def test_an_array_may_not_be_given_away_twice():
    g = graphc.trace(lambda w, v, x: (w - x, v * x), "f64[n]", "f64[n]", "f64[n]")
    f = graphc.compile(g, (), donate=("w", "v"))
    x = np.arange(3.0)
    with pytest.raises(graphc.GraphValueError, match="an array stands twice") as error:
        f(x, x, x)
    assert "test_donation.py" in str(error.value)
    for given in ([x.copy(), x.copy()], [list(x), list(x)], [[1, 2, 3]] * 2):
        expected = np.asarray(given[1]) * x
        np.testing.assert_array_equal(f(*given, x)[1], expected)
    assert "_distinct" not in graphc.compile(g, (), donate=("w",)).source


def test_an_unknown_name_is_an_error():
    g = graphc.trace(lambda w: w * 2, w="f64[3]")
    with pytest.raises(
        graphc.GraphNameError, match=r"donate: .* has no input 'W'; did you mean 'w'"
    ):
        graphc.compile(g, donate=("W",))


@pytest.mark.parametrize("rule", [graphc.optimizers.Momentum(0.01), graphc.optimizers.Adam(1e-3)])
def test_a_large_layer_is_updated_in_place(rule):
    """Its gradient is made block by block, each of which the update takes before the next."""

    @graphc.trace(
        x="f32[8, 600]", w=graphc.param("f32[600, 4000]", init=graphc.initialisers.normal(0.1))
    )
    def loss(x, w):
        return np.square(np.tanh(x @ w)).mean()

    plain = graphc.train_step(loss, rule)
    step = graphc.train_step(loss, rule, donate=True)
    assert "# In blocks that stay in the cache." in step.source
    x = RNG.normal(size=(8, 600)).astype(np.float32)
    params, expected = step.init_params(0), plain.init_params(0)
    state, other = step.init(params), plain.init(expected)
    given = [params["w"], *(state[slot]["w"] for slot in rule.slots)]
    for _ in range(3):
        params, state, value = step(params, state, (x,))
        expected, other, alike = plain(expected, other, (x,))
    found = [params["w"], *(state[slot]["w"] for slot in rule.slots)]
    for one, kept in zip(found, given, strict=True):
        assert one is kept
    assert value == alike
    np.testing.assert_allclose(params["w"], expected["w"], rtol=1e-6, atol=1e-7)
    for slot in rule.slots:
        np.testing.assert_allclose(state[slot]["w"], other[slot]["w"], rtol=1e-6, atol=1e-9)
