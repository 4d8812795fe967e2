"""A miniature study with all its results, scores of studies that were never run, and what a reader must be able to read."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.analysis_tree import make_study, write_study
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sensei.analysis import style
from sensei.analysis.figures.contract import drawing
from sensei.analysis.figures.registry import figure
from sensei.analysis.style import Drawing
from sensei.study.layout import Layout
from sensei.study.models.study import Study

COLUMNS = ["environment", "task", "method", "seed", "step", "metric", "value"]
LISTENERS: list[Callable[[str], None]] = []


@pytest.fixture(scope="module")
def study() -> Study:
    """Five methods, three seeds, one MiniHack environment."""
    return make_study()


@pytest.fixture(scope="module")
def layout(tmp_path_factory, study) -> Layout:
    """Everything that the figures, tables and the report of `study` are made from."""
    layout = Layout(tmp_path_factory.mktemp("results"))
    write_study(study, layout)
    return layout


@pytest.fixture(scope="session")
def drawn() -> Callable[[str, Study, Layout], Drawing]:
    """Draw a figure by its name; what was drawn from a folder is not drawn from it again."""
    made: dict[tuple[str, Path], Drawing] = {}

    def draw(name: str, study: Study, layout: Layout) -> Drawing:
        if (name, layout.root) not in made:
            made[name, layout.root] = drawing(figure(name), study, figure(name).inputs(study, layout))
        return made[name, layout.root]

    return draw


@pytest.fixture(scope="session")
def drawn_from() -> Callable[[str, Study, pd.DataFrame], Drawing]:
    """Draw a figure from a table of scores, of a study that it does not refuse."""

    def draw(name: str, study: Study, scores: pd.DataFrame) -> Drawing:
        figure(name).check(study)
        with style.styled():
            return figure(name).draw(study, scores)

    return draw


@pytest.fixture(scope="module")
def at_full_scale() -> tuple[Study, pd.DataFrame]:
    """Scores of two environments at the paper's steps, ten seeds."""
    study = make_study(("minihack_keyroom_s15", "minihack_keychest"), range(10), 500_000, 1_000_000)
    rng, rows = np.random.default_rng(0), []
    for environment, seed in itertools.product(study.environments, study.seeds):
        config = study.settings[environment].environment
        for method, event in itertools.product(study.explore, config.events):
            rows.append((environment, "explore", method, seed, 500_000, event, float(rng.poisson(300))))
        for method, step in itertools.product(study.learn, range(50_000, 1_000_001, 50_000)):
            rows.append((environment, config.tasks[0], method, seed, step, "score", float(rng.random())))
    return study, pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture(scope="session")
def of_robodesk() -> Callable[..., tuple[Study, pd.DataFrame]]:
    """A study of Robodesk and scores of it: event number k of seed s happened 10 k + s times."""

    def make(seeds=(0, 1), explore_steps=5_000, learn_steps=4_000) -> tuple[Study, pd.DataFrame]:
        study = make_study(("robodesk",), seeds, explore_steps, learn_steps)
        settings = study.settings["robodesk"].environment
        rows = []
        for method, seed in itertools.product(study.explore, seeds):
            rows += [("robodesk", "explore", method, seed, explore_steps, name, 10.0 * k + seed) for k, name in enumerate(settings.events)]
        for task, method, seed, part in itertools.product(settings.tasks, study.learn, seeds, range(5)):
            rows.append(("robodesk", task, method, seed, part * learn_steps // 4, "score", part / 4))
        return study, pd.DataFrame(rows, columns=COLUMNS)

    return make


@pytest.fixture(scope="session")
def legible() -> Callable[[Figure], None]:
    """Assert that no text of a figure touches another text or leaves the page, and that no legend covers data."""

    def check(figure: Figure) -> None:
        canvas = FigureCanvasAgg(figure)
        with style.styled():
            canvas.draw()
        renderer = canvas.get_renderer()
        page = figure.bbox
        found = [text for axes in figure.axes if axes.axison for text in _texts(axes, renderer)]
        assert found
        for text, box in found:
            assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1, (
                f"{text!r} is cut off"
            )
        for (first, one), (second, other) in itertools.combinations(found, 2):
            overlap = min(one.x1, other.x1) - max(one.x0, other.x0) > 0.5 and min(one.y1, other.y1) - max(one.y0, other.y0) > 0.5
            assert not overlap, f"{first!r} and {second!r} overlap"
        for legend in figure.legends:
            box = legend.get_window_extent(renderer)
            assert box.x0 >= page.x0 and box.x1 <= page.x1, "the legend is cut off"
            assert not any(box.overlaps(axes.get_window_extent(renderer)) for axes in figure.axes), "the legend covers data"

    return check


def _texts(axes: Axes, renderer):
    """(text, its box) of all tick labels, titles and axis labels of `axes` that show."""
    artists = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        artists += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [(artist.get_text(), artist.get_window_extent(renderer)) for artist in artists if artist.get_text() and artist.get_visible()]


@pytest.fixture
def opened(monkeypatch) -> Iterator[set[Path]]:
    """Every file that is opened for reading during the test; pyarrow and safetensors, which open theirs unseen, are asked."""
    import sensei.reward.model

    found: set[Path] = set()

    def note(path: object) -> None:
        if isinstance(path, str | Path) and not Path(path).is_dir():
            found.add(Path(path))

    LISTENERS.append(note)
    for module, name in ((pd, "read_parquet"), (sensei.reward.model, "safe_open")):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, *rest, original=original, **more: (note(path), original(path, *rest, **more))[1])
    yield found
    LISTENERS.remove(note)


def _hear(event: str, arguments: tuple) -> None:
    if event == "open" and LISTENERS:
        for listener in LISTENERS:
            listener(arguments[0])


sys.addaudithook(_hear)  # it can never be taken away again
