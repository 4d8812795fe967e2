"""What a figure must not do: hide a zero or a gap, look certain of little, make a flat line look steep, or say what its numbers do not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fakes.analysis_tree import make_study, write_study
from matplotlib.colors import to_hex, to_rgb
from PIL import Image
from scipy.stats import binomtest

from sensei.analysis import published, style
from sensei.analysis.figures import curves, label_panels, semantic_reward, training
from sensei.analysis.figures.contract import drawing
from sensei.analysis.figures.registry import figure
from sensei.analysis.figures.registry import published as published_figures
from sensei.analysis.scores import read_scores, tabulate
from sensei.core.errors import SenseiError
from sensei.study.layout import CONFIG_FOLDER, Layout

KEYROOM = "minihack_keyroom_s15"
COLUMNS = ["environment", "task", "method", "seed", "step", "metric", "value"]


def explored(study, totals, steps=20_000) -> pd.DataFrame:
    """Scores: (method, seed) -> counts of the events of KeyRoom."""
    rows = []
    for (method, seed), values in totals.items():
        for event, value in values.items():
            rows.append((KEYROOM, "explore", method, seed, steps[method] if isinstance(steps, dict) else steps, event, float(value)))
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture(scope="module")
def two_methods():
    """Plan2Explore opens a door in each seed, SENSEI never; nobody comes to the exit."""
    study = make_study(seeds=(0, 1)).model_copy(update={"explore": ["sensei", "plan2explore"]})
    none = {"key_picked_up": 3, "door_opened": 0, "next_to_exit": 0, "environment_reward": 0}
    return study, {("sensei", 0): none, ("sensei", 1): none, ("plan2explore", 0): none | {"door_opened": 2},
                   ("plan2explore", 1): none | {"door_opened": 4}}  # fmt: skip


def panel(drawn, title: str):
    """The first panel called so."""
    return next(axes for axes in drawn.figure.axes if axes.get_title(loc="left") == title)


def test_a_zero_is_told_from_a_missing_bar(two_methods, drawn_from):
    study, totals = two_methods
    marks = panel(drawn_from("interactions", study, explored(study, totals)), "door opened").texts
    assert [(text.get_text(), text.xy) for text in marks] == [("0", (0, 0))]


def test_panels_in_which_nothing_happened_are_left_out_and_named(two_methods, drawn_from):
    study, totals = two_methods
    drawn = drawn_from("interactions", study, explored(study, totals))
    own = [axes.get_title(loc="left") for axes in drawn.figure.axes[:-4]]  # the last four are published
    assert own == ["key picked up", "door opened"]
    assert (
        "Left out, because it happened in no run: next to exit and environment reward (KeyRoom-S15: 20K steps, 2 seeds)." in drawn.caption
    )
    assert set(drawn.numbers.loc[drawn.numbers["source"] == "ours", "metric"]) > {"next_to_exit"}, "its numbers stay"


def test_where_nothing_happened_at_all_that_is_said(two_methods, drawn_from):
    study, totals = two_methods
    study = study.model_copy(update={"environments": [KEYROOM]})
    nothing = {run: dict.fromkeys(values, 0) for run, values in totals.items()}
    caption = drawn_from("interactions", study, explored(study, nothing)).caption
    assert "key picked up, door opened, next to exit and environment reward (KeyRoom-S15" in caption


def test_different_numbers_of_steps_stand_at_the_bars(two_methods, drawn_from):
    study, totals = two_methods
    drawn = drawn_from("interactions", study, explored(study, totals, {"sensei": 20_000, "plan2explore": 30_000}))
    labels = [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()]
    assert labels == ["SENSEI, 20K steps", "Plan2Explore, 30K steps"]


def test_curves_of_another_budget_name_both(drawn_from):
    study = make_study(seeds=(0, 1), learn_steps=700_000)
    rows = [
        (KEYROOM, "keyroom", method, seed, step, "score", 0.5) for method in study.learn for seed in (0, 1) for step in (350_000, 700_000)
    ]
    (title,) = drawn_from("learn", study, pd.DataFrame(rows, columns=COLUMNS)).numbers["panel"].unique()
    last = published.curves(7).query("task == 'keyroom'")["x"].max()
    assert title.endswith(f"to 700K (published to {style.count(last)})")


def test_error_bars_are_symmetric_and_named():
    for number, kind, sign in ((5, "standard_error", "± SE"), (16, "standard_deviation", "± SD")):
        with style.styled():
            drawn = published_figures()[number].draw_published(number)
        means = drawn.numbers[drawn.numbers["drawn"] == "mean"].dropna(subset="low")
        assert np.allclose(means["high"] - means["value"], means["value"] - means["low"])
        assert all(sign in title for title in means["panel"]) and set(means["band"]) == {kind.replace("_", " ")}
    assert (means["low"] < 0).any(), "a standard deviation may reach below zero, and is not cut there"
    widths = {tuple(np.round(line.get_xdata(), 6)) for axes in drawn.figure.axes for line in axes.lines if len(line.get_xdata()) == 2}
    assert {tuple(np.round(row, 6)) for row in means[["low", "high"]].to_numpy()} <= widths
    assert all(axes.get_xlim()[0] <= min(min(line.get_xdata()) for line in axes.lines) for axes in drawn.figure.axes)


def test_one_seed_has_no_error_in_any_table(tmp_path):
    from sensei.analysis import tables

    study, layout = make_study(seeds=(0,)), Layout(tmp_path)
    write_study(study, layout)
    scores = read_scores(layout.scores)
    for table in (tables.interactions(study, scores), tables.learn(study, scores)):
        assert table[["low", "high", "standard_error"]].isna().all(axis=None)


def test_one_point_of_two_episodes_has_a_wide_band(drawn_from):
    study = make_study(seeds=(0,))  # two episodes an evaluation
    rows = [(KEYROOM, "keyroom", method, 0, step, "score", 1.0) for method in study.learn for step in (6_000, 12_000)]
    drawn = drawn_from("learn", study, pd.DataFrame(rows, columns=COLUMNS))
    ours = drawn.numbers[(drawn.numbers["source"] == "ours") & (drawn.numbers["drawn"] == "mean")]
    expected = binomtest(2, 2).proportion_ci(0.95, method="wilson")
    assert ours["low"].tolist() == pytest.approx([expected.low] * len(ours)) and expected.low < 0.35
    assert set(ours["band"]) == {"95 % Wilson of episodes"} and "so a band is the 95 % Wilson interval of the episodes" in drawn.caption
    assert "there are no bands" not in drawn.caption and {text.get_text() for text in drawn.figure.legends[0].get_texts()} >= {
        "95 % interval of episodes, where runs agree"
    }
    band = panel(drawn, "KeyRoom-S15, 1 seed").collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(expected.low)


def test_seeds_that_differ_keep_the_bootstrap_and_returns_get_no_wilson():
    shares, returns = np.array([[0.5, 1.0], [1.0, 1.0]]), np.array([[3.0, 7.5]])
    band, kinds = curves.widened(np.array([[0.5, 1.0], [1.0, 1.0]]), "95 % bootstrap", shares, shares, 2)
    assert kinds == ["95 % bootstrap", "95 % Wilson of episodes"] and band[:, 0].tolist() == [0.5, 1.0] and band[0, 1] < 0.6
    band, kinds = curves.widened(np.full((2, 2), np.nan), "none", returns, returns, 2)
    assert kinds == ["none", "none"] and np.isnan(band).all()


def test_agreement_over_a_handful_of_pairs_is_pale():
    def cell(count: int) -> float:
        low = binomtest(count, count).proportion_ci(0.95, method="wilson").low
        rows = [("e", "a", "accuracy", "b", 1.0, low, 1.0, count), ("e", "a", "kappa", "b", 1.0, None, None, count)]
        numbers = pd.DataFrame(rows, columns=["environment", "annotator", "measure", "other", "value", "low", "high", "count"])
        with style.styled():
            axes = style.figure(2, 2).subplots()
            label_panels._agreement(axes, numbers, {"a": "a"})
        axes.figure.draw_without_rendering()
        assert axes.texts[0].get_text() == f"1.000\nκ 1.00\nn {style.count(count)}"
        return float(np.mean(axes.collections[0].get_facecolors()[0][:3]))

    assert cell(3) > 0.95 > 0.8 > cell(3_000)


def test_without_a_pair_that_is_clear_to_two_the_panel_is_left_out(study, layout, drawn):
    data = drawn("labels", study, layout).numbers
    data.loc[data["measure"] == "accuracy", ["value", "low", "high", "count"]] = [np.nan, np.nan, np.nan, 0]
    with style.styled():
        drawing_ = figure("labels").draw(study, data)
    assert "agreement (KeyRoom-S15)" in drawing_.caption
    assert not any(axes.get_title(loc="left") == "agreement" for axes in drawing_.figure.axes if axes.axison)


def test_what_annotators_and_answers_wear_no_method_wears():
    methods = set(style.COLOURS.values()) | set(style.VARIANT_COLOURS.values()) | set(style.SPARE_COLOURS)
    assert not methods & set(style.ANNOTATOR_COLOURS)
    assert not set(label_panels.CODE_COLOURS.values()) & (methods | set(style.ANNOTATOR_COLOURS))
    assert all(len({*to_rgb(colour)}) == 1 for colour in label_panels.CODE_COLOURS.values()), "answers are grey"


@pytest.fixture
def flat() -> semantic_reward.EpisodeReward:
    """An episode whose reward hardly moves."""
    images = np.zeros((40, 8, 8, 3), np.uint8)
    return semantic_reward.EpisodeReward(KEYROOM, "an episode", images, np.linspace(0, 0.01, 40, dtype=np.float32), {0: "start", 39: "end"})


@pytest.mark.parametrize("scale, least", [((-3.0, 4.0), 7.0), ((0.0, 0.005), 1.0)])
def test_a_flat_reward_looks_flat(flat, scale, least):
    row = replace(flat, scale=scale)
    low, high = semantic_reward.span(row)
    assert high - low == pytest.approx(least) and low <= row.rewards.min() and high >= row.rewards.max()
    with style.styled():
        axes = style.figure(3, 2).subplots()
        semantic_reward._curve(axes, row)
    bottom, top = axes.get_ylim()
    assert np.ptp(axes.lines[0].get_ydata()) < 0.02 * (top - bottom)
    assert semantic_reward.peak(row) == "hardly changes"


def test_where_the_reward_peaks_is_said_from_the_numbers(flat, study, layout, drawn):
    rewards = np.zeros(40, np.float32)
    rewards[20] = 5
    row = replace(flat, rewards=rewards, marks={0: "start", 8: "key picked up", 30: "door opened", 39: "end"})
    assert semantic_reward.peak(row) == "is highest (5.00) at t = 20, between key picked up (t = 8) and door opened (t = 30)"
    assert semantic_reward.peak(replace(row, rewards=np.roll(rewards, 10))) == "is highest (5.00) at t = 30, at door opened"
    drawing_ = drawn("semantic_reward", study, layout)
    highest = drawing_.numbers.loc[drawing_.numbers["semantic_reward"].idxmax(), "step"]
    assert f"at t = {highest}" in drawing_.caption or "hardly changes" in drawing_.caption


def test_the_caption_of_the_reward_along_an_episode_is_what_its_picture_shows():
    """The reward is highest behind the door, between its opening at 499 and the exit at 575 of the picture's 590 steps."""
    root = CONFIG_FOLDER.parent
    picture = np.asarray(Image.open(root / "docs" / "images" / "semantic_reward.png").convert("RGB")).astype(int)
    curve = (np.abs(picture - [int(255 * part) for part in to_rgb(style.COLOURS["sensei"])]).sum(axis=2) < 60)[picture.shape[0] // 2 :]
    columns = np.flatnonzero(curve.any(axis=0))
    highest = np.flatnonzero(curve[np.flatnonzero(curve.any(axis=1))[0]])
    steps = 590 * (highest - columns[0]) / (columns[-1] - columns[0])
    assert (steps >= 495).all() and (steps < 575).all()
    text = " ".join((root / "docs" / "reproduction.md").read_text().split())
    assert "peaks just behind the open door" in text and "peaks at the stairs" not in text


def test_captions_of_published_bars_count_what_they_show():
    for number in (5, 6, 14, 16, 18, 19, 20):
        with style.styled():
            caption = published_figures()[number].draw_published(number).caption
        means = published.bars(number).pivot_table(index=["environment", "metric"], columns="method", values="mean")
        higher = int((means["sensei"] > means["plan2explore"]).sum())
        assert f"SENSEI's mean is above Plan2Explore's in {higher} of {len(means)} panels" in caption


def unfinished(tmp_path, **changes):
    """A study in which a run is not there yet."""
    study, layout = make_study(seeds=(0, 1)), Layout(tmp_path)
    write_study(study, layout)
    layout.explore(KEYROOM, "vlm_motif", 1).events.unlink()
    layout.learn(KEYROOM, "keyroom", "ppo", 0).metrics.unlink()
    return study.model_copy(update=changes), layout


def test_runs_that_are_missing_are_named_with_what_makes_them(tmp_path):
    study, layout = unfinished(tmp_path)
    with pytest.raises(SenseiError) as error:
        tabulate(study, layout, layout.scores)
    for part in ("vlm_motif/seed1/events.parquet", "ppo/seed0/metrics.jsonl", "snakemake train_all", "allow_partial"):
        assert part in str(error.value)
    assert f"explore --study {layout.study} --environment {KEYROOM} --method vlm_motif --seed 1" in str(error.value)


@pytest.mark.parametrize("name, lacks, has", [("interactions", "vlm_motif seed 1", "ppo"), ("learn", "ppo seed 0", "vlm_motif")])
def test_a_figure_of_a_part_is_refused_unless_it_is_allowed(name, lacks, has, tmp_path, legible):
    study, layout = unfinished(tmp_path, allow_partial=True)
    tabulate(study, layout, layout.scores)
    refusing = study.model_copy(update={"allow_partial": False})
    with pytest.raises(SenseiError, match=rf"(?s)figure {name} lacks 1 run\(s\) of the study: .*{lacks}.*allow_partial: true"):
        drawing(figure(name), refusing, figure(name).inputs(refusing, layout))
    drawn = drawing(figure(name), study, figure(name).inputs(study, layout))
    gap = drawn.caption.partition("Not there, and not drawn: ")[2]
    assert lacks in gap and has not in gap
    legible(drawn.figure)


def test_a_part_gives_all_tables_and_the_seeds_that_are_there(tmp_path):
    from sensei.analysis import tables

    study, layout = unfinished(tmp_path, allow_partial=True)
    scores = tabulate(study, layout, layout.scores)
    seeds = tables.learn(study, scores).set_index("method")["seeds"]
    assert seeds.to_dict() == {"sensei": 2, "plan2explore": 2, "dreamerv3": 2, "ppo": 1}
    assert tables.interactions(study, scores).set_index("method").loc["vlm_motif", "standard_error"].isna().all()


def test_while_there_is_no_run_a_part_is_the_whole(tmp_path):
    study = make_study(seeds=(0, 1), allow_partial=True)
    from sensei.analysis.scores import inputs

    assert sum(map(len, inputs(study, Layout(tmp_path)).values())) == len(study.exploration_runs()) + len(study.task_runs())


def test_colours_in_a_drawing_are_those_of_the_methods(two_methods, drawn_from):
    study, totals = two_methods
    bars = panel(drawn_from("interactions", study, explored(study, totals)), "key picked up").patches
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == [style.colour("sensei"), style.colour("plan2explore")]


def test_a_run_that_ends_early_does_not_bend_the_mean_of_the_others():
    runs = {0: 100, 1: 100, 2: 60}  # seed -> steps, of which each has a level of its own
    table = pd.DataFrame([("loss", "sensei", run, step, float(run)) for run, steps in runs.items() for step in range(steps)])
    numbers = training.binned(table.set_axis(["panel", "name", "run", "step", "value"], axis=1))
    means = numbers[numbers["run"].isna()]
    assert means["value"].tolist() == [1.0] * 30 and means["step"].max() < 60
    assert numbers["step"].max() > 90, "the others go on, each for itself"


@pytest.mark.parametrize("name, value", [("semantic reward, imagined", 1e-3), ("image loss", 1e-3)])
def test_an_idle_reward_does_not_fill_its_panel_and_short_curves_are_whole(name, value):
    table = pd.DataFrame({"panel": name, "name": "sensei", "run": 0, "step": [100, 200], "value": [2 * value, value]})
    with style.styled():
        drawn = training._drawn(training.binned(table), {"sensei": "SENSEI"}, {"sensei": "#D55E00"})
    (axes,) = (axes for axes in drawn.axes if axes.lines)
    least, highest = axes.get_ylim()
    assert highest >= 2 * value and least == 0
    assert (highest >= 1) == (name in training.LEAST)
    assert drawn.get_supxlabel() == "agent steps"


def test_windows_stand_on_the_picture():
    titles = {number: set(published_figures()[number].draw_published(number).numbers["panel"]) for number in (7, 13, 22)}
    assert titles[7] == {"KeyRoom-S15, published, 10 seeds, window 3", "KeyChest, published, 10 seeds, window 3"}
    assert all(title.endswith("10 seeds, window 30") for title in titles[13]) and all("window" not in title for title in titles[22])
