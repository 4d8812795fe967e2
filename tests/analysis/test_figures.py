"""What holds for every figure: it is found, it reads what it declares, it can be read, and equal data give equal bytes."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from fakes.analysis_tree import OF_GENERATIONS, OF_OTHER_METHODS, OF_POKEMON, OF_ROBODESK, make_study, write_study
from fakes.guide import shown
from PIL import Image

from sensei.analysis import published, style
from sensei.analysis.figures.contract import make
from sensei.analysis.figures.registry import ROOM, figure, figure_of, figures_of
from sensei.analysis.figures.registry import published as published_figures
from sensei.analysis.inputs import Inputs
from sensei.core.errors import SenseiError
from sensei.core.plugins import names
from sensei.study.layout import Layout

FIGURES = names(*ROOM[:2])
OF_MINIHACK = [name for name in FIGURES if name not in (*OF_ROBODESK, *OF_POKEMON, *OF_GENERATIONS)]
DRAWN = [name for name in OF_MINIHACK if name not in OF_OTHER_METHODS]
CODE = shown("chosen_epochs.py")


@pytest.mark.parametrize("name", OF_MINIHACK)
def test_a_figure_reads_what_it_declares_and_nothing_else(name, study, layout, opened):
    drawn = figure(name)
    declared = Inputs(drawn.inputs(study, layout))
    drawn.load(study, declared)
    read = {path for path in opened if path.is_relative_to(layout.root)}
    folders = drawn.folders(study, layout)
    assert {path for path in read if path.parent not in folders} == set(declared.paths())
    assert set(folders.values()) <= set(declared.paths())
    assert {path.parent for path in read} >= set(folders)


def test_what_was_not_declared_cannot_be_read(study, layout):
    class Curious(type(figure("interactions"))):
        def load(self, study, inputs):
            return inputs["labels"]

    with pytest.raises(SenseiError, match="'labels', expected one of 'scores'"):
        make(Curious(), study, Curious().inputs(study, layout), layout.figure("curious"))
    assert not any(path.exists() for path in layout.figure("curious"))


def test_the_figure_of_the_guide_is_drawn_from_outside_the_package(study, layout, tmp_path, monkeypatch):
    (tmp_path / "chosen_epochs.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    own = study.model_copy(update={"figures": yaml.safe_load(shown("config/mine.yaml"))["figures"]})
    found = figures_of(own)
    assert list(found) == ["interactions", "learn", "chosen_epochs"]
    drawn, (pdf, png, csv) = found["chosen_epochs"], layout.figure("chosen_epochs")
    make(drawn, own, drawn.inputs(own, layout), [pdf, png, csv])
    assert pdf.read_bytes().startswith(b"%PDF") and style.read_caption(png).startswith("Epoch with the lowest validation loss")
    assert pd.read_csv(csv)["epoch"].tolist() == [3, 3]


def test_two_figures_of_one_name_are_refused(study, tmp_path, monkeypatch):
    (tmp_path / "another_learn.py").write_text(CODE.replace("    title =", '    name = "learn"\n    title ='))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SenseiError, match="learn and another_learn:ChosenEpochs"):
        figures_of(study.model_copy(update={"figures": ["learn", "another_learn:ChosenEpochs"]}))


def test_an_unknown_figure_lists_the_known_ones(study):
    with pytest.raises(SenseiError, match="interaction.*interactions, label_sources, labels, learn"):
        figures_of(study.model_copy(update={"figures": ["learn", "interaction"]}))


def test_a_figure_that_the_study_leaves_out_can_be_drawn_by_its_name(study):
    assert "ppo_convergence" not in study.figures
    assert figure_of(study, "ppo_convergence").title == figure("ppo_convergence").title


def test_planning_imports_nothing_that_draws(study):
    code = (
        "import sys\n"
        "from sensei.analysis import report, scores, tables\n"
        "from sensei.analysis.figures.registry import ROOM, figure\n"
        "from sensei.core.plugins import names\n"
        "titles = [figure(name).title for name in names(*ROOM[:2])]\n"
        "print(len(titles), sorted({'matplotlib', 'seaborn', 'torch', 'mujoco', 'nle', 'jinja2'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"{len(FIGURES)} []"


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_legible(name, study, layout, drawn, legible):
    drawing = drawn(name, study, layout)
    assert drawing.figure.get_figwidth() in (style.COLUMN_WIDTH, style.FULL_WIDTH)
    legible(drawing.figure)


@pytest.mark.parametrize("name", ["interactions", "learn"])
def test_ten_seeds_of_two_environments_are_legible(name, at_full_scale, drawn_from, legible):
    legible(drawn_from(name, *at_full_scale).figure)


@pytest.mark.parametrize("number", published_figures())
def test_published_figures_are_legible(number, legible):
    with style.styled():
        drawing = published_figures()[number].draw_published(number)
    legible(drawing.figure)


@pytest.mark.slow
def test_equal_data_give_equal_bytes(study, layout, tmp_path):
    for name in DRAWN:
        made = [Layout(tmp_path / folder).figure(name) for folder in ("once", "twice")]
        for files in made:
            make(figure(name), study, figure(name).inputs(study, layout), files)
        for once, twice in zip(*made, strict=True):
            assert once.read_bytes() == twice.read_bytes(), once.name


def test_vector_fonts_sizes_and_captions(study, layout, tmp_path):
    pdf, png, _ = files = Layout(tmp_path).figure("interactions")
    make(figure("interactions"), study, figure("interactions").inputs(study, layout), files)
    assert b"/FontType 42" in pdf.read_bytes() or b"CIDFontType2" in pdf.read_bytes()
    with Image.open(png) as image:
        assert image.width == pytest.approx(style.FULL_WIDTH * style.PNG_DPI, abs=1)
        assert np.asarray(image.convert("L")).std() > 10
    assert "3 seeds" in style.read_caption(png)


@pytest.mark.parametrize("name", ["interactions"])
def test_one_seed_is_drawn_without_an_interval(name, tmp_path, drawn, legible):
    study, layout = make_study(seeds=(0,)), Layout(tmp_path)
    write_study(study, layout)
    drawing = drawn(name, study, layout)
    assert drawing.numbers.loc[drawing.numbers["source"] == "ours", "low"].isna().all()
    assert "one seed" in drawing.caption
    legible(drawing.figure)


def unified(numbers: pd.DataFrame) -> pd.DataFrame:
    """Drawn or published bars and curves with one set of keys; what is no value of a figure is left out."""
    table = numbers.rename(columns={"mean": "value", "x": "step"})
    if "task" in table:
        table["metric"] = table["task"].fillna(table["metric"]) if "metric" in table else table["task"]
    for column in ("step", "steps"):
        table[column] = table[column].fillna(-1) if column in table else -1
    return table[["metric", "method", "step", "value"]]


@pytest.mark.parametrize("number", [number for number in published_figures() if isinstance(number, int)])
def test_published_figures_show_every_published_value(number):
    with style.styled():
        numbers = published_figures()[number].draw_published(number).numbers
    known = [table[table["number"] == number] for table in (published.bars(), published.curves())]
    steps = max((table["steps"].max() for table in known if "steps" in table and len(table)), default=None)
    drawn = numbers[(numbers["drawn"] != "seed") if "drawn" in numbers else slice(None)]
    if steps and "steps" in drawn:
        drawn = drawn[drawn["steps"].isna() | (drawn["steps"] == steps)]  # not the early checkpoints
    expected = pd.concat([unified(table) for table in known if len(table)])
    both = unified(drawn).merge(expected, on=["metric", "method", "step", "value"])
    assert len(both) == len(drawn) == len(expected) > 0
