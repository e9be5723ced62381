"""What `make bench` writes: sections that replace themselves, and plots."""

import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest


@pytest.fixture
def tools(monkeypatch):
    """The benchmarks' own modules, as the scripts import them."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import plots
    import report
    import where

    yield report, plots, where
    for name in ("plots", "report", "where", "peers"):
        sys.modules.pop(name, None)


def test_a_section_replaces_its_last_version_and_no_other(tools, monkeypatch, tmp_path):
    report, _, _ = tools
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.md")
    report.write("Memory", ["first"])
    report.write("Two cores", ["a table"])
    report.write("Memory", ["second", "line"])
    assert report.read() == {"Memory": "second\nline", "Two cores": "a table"}
    text = report.RESULTS.read_text(encoding="utf-8")
    assert text.index("Two cores") < text.index("Memory")  # the order of the file's titles
    assert "first" not in text


def test_times_are_in_the_unit_that_fits(tools):
    report, _, _ = tools
    assert report.seconds(4.06e-7) == "0.406 us"
    assert report.seconds(0.0261) == "26.1 ms"
    assert report.seconds(18.0) == "18 s"


def test_a_plot_has_a_line_for_each_series(tools, tmp_path):
    _, plots, _ = tools
    path = tmp_path / "plot.svg"
    series = {"ours": [(10, 1e-5), (1000, 2e-3)], "a < b": [(10, 3e-5), (1000, 1e-3)]}
    plots.save(path, "title", "x", "y", series)
    root = xml.etree.ElementTree.parse(path).getroot()
    kind = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{kind}polyline")) == 2
    assert len(root.findall(f"{kind}circle")) == 4
    assert "a < b" in [text.text for text in root.findall(f"{kind}text")]
    # Larger values lie further to the right and further up.
    first, second = root.findall(f"{kind}polyline")[0].get("points").split()
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in (first, second))
    assert x1 > x0
    assert y1 < y0


def test_the_profile_finds_the_statement_that_takes_the_time(tools):
    import numpy as np

    import graphc

    def loss(x, W):
        return np.tanh(x @ W).sum()

    rng = np.random.default_rng(0)
    arguments = rng.normal(size=(200, 400)), rng.normal(size=(400, 300))
    compiled = graphc.compile(graphc.trace(loss, *arguments), wrt="W")
    found = tools[2].shares(compiled, arguments, runs=3)
    assert abs(sum(share for share, _ in found) - 1) < 1e-9
    assert {"@", "tanh"} <= {part for _, text in found for part in ("@", "tanh") if part in text}


def test_the_systems_are_run_as_the_readme_says(tools, monkeypatch, tmp_path):
    import bench_systems

    monkeypatch.delitem(sys.modules, "bench_systems")
    found = bench_systems.commands()
    assert found[0] == "graphc run examples/circuit.toml"
    assert "python examples/update_rules.py --plot rules.png" in found
    assert len(found) == len(set(found)) > 20
    seconds, said = bench_systems.run("python examples/own_gates.py --quick", tmp_path)
    assert seconds > 0
    assert said.startswith("right f64[4]")
