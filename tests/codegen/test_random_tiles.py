"""Random Programs on arrays long enough for tiles: the numbers are still the evaluator's."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen.program import Options
from tests.codegen.compare import check
from tests.codegen.test_random_programs import programs, uses_f32

SIZES = {"n": 260, "m": 3}
TINY = Options(sizes=tuple(SIZES.items()), cache_bytes=256)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.integers(0, 3))
def test_any_program_in_tiles(made, seed):
    check(made, TINY, rtol=2e-4 if uses_f32(made) else 1e-9, seed=seed, **SIZES)


def test_programs_like_these_are_tiled():
    found = []

    @settings(max_examples=12, deadline=None, database=None, derandomize=True)
    @given(programs())
    def look(made):
        found.append("tile = slice(" in check(made, TINY, rtol=1e-3, **SIZES).source)

    look()
    assert any(found)
