"""What every test may rely on: its own cache folder, golden files, and that nothing is skipped."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every run, and no judgement by the clock: a red test is a wrong program.
# `HYPOTHESIS=explore pytest` looks for new examples.
settings.register_profile(
    "fixed", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
settings.register_profile("explore", settings.get_profile("fixed"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS", "fixed"))

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files instead of comparing"
    )


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test touches the cache of the person who runs it, nor do processes that it starts."""
    before = os.environ.get("GRAPHC_CACHE_DIR")
    os.environ["GRAPHC_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["GRAPHC_CACHE_DIR"]
    else:
        os.environ["GRAPHC_CACHE_DIR"] = before


@pytest.fixture
def golden(request):
    """`golden(text, "digits.py")` compares text with tests/golden/digits.py, byte for byte.

    A missing file fails; `pytest --update-golden` writes it, for a person to review.
    """

    def compare(text, name):
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"no golden file {name}: run pytest --update-golden, and review it"
        assert text == path.read_text(encoding="utf-8")

    return compare


def pytest_sessionfinish(session):
    # A skipped test proves nothing and looks green: it fails the run.
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
