"""Figures from a miniature study and from the published values: what is drawn, and that it can be read."""

import itertools

import numpy as np
import pandas as pd
import pytest
from fakes.analysis_tree import EXPLORE, OF_ROBODESK, make_study, write_labels_and_rewards, write_study
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from sensei.analysis import published, style
from sensei.analysis.figures import (
    FIGURES,
    PUBLISHED,
    check,
    downstream,
    draw_published,
    inputs,
    interactions,
    make,
    module,
    semantic_reward,
)
from sensei.analysis.scores import read_scores
from sensei.core.errors import SenseiError

OF_MINIHACK = [name for name in FIGURES if name not in OF_ROBODESK]


@pytest.fixture(scope="module")
def study():
    return make_study()


@pytest.fixture(scope="module")
def results(tmp_path_factory, study):
    folder = tmp_path_factory.mktemp("results")
    write_study(study, folder)
    return folder


@pytest.fixture(scope="module")
def at_full_scale():
    """Scores of both environments at the paper's steps, ten seeds."""
    study = make_study(("minihack_keyroom_s15", "minihack_keychest"), range(10), 500_000, 1_000_000)
    rng, rows = np.random.default_rng(0), []
    for environment, seed in itertools.product(study.environments, study.seeds):
        config = study.settings[environment].environment
        for method, event in itertools.product(study.explore, config.events):
            rows.append((environment, "explore", method, seed, 500_000, event, float(rng.poisson(300))))
        for method, step in itertools.product(study.learn, range(50_000, 1_000_001, 50_000)):
            rows.append((environment, config.tasks[0], method, seed, step, "score", float(rng.random())))
    return study, pd.DataFrame(rows, columns=["environment", "task", "method", "seed", "step", "metric", "value"])


def drawings(study, results):
    return {name: module(name).draw(study, module(name).load(study, results)) for name in OF_MINIHACK}


def texts(axes: Axes, renderer):
    """(text, its box) of all tick labels, titles and axis labels of `axes` that show."""
    artists = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
    for axis in (axes.xaxis, axes.yaxis):
        artists += [
            tick.label1 for tick in axis.get_major_ticks() if axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
        ]
    return [(artist.get_text(), artist.get_window_extent(renderer)) for artist in artists if artist.get_text() and artist.get_visible()]


def assert_legible(figure):
    """No text touches another text or leaves the page, and no legend covers data."""
    canvas = FigureCanvasAgg(figure)
    with style.styled():
        canvas.draw()
    renderer = canvas.get_renderer()
    page = figure.bbox
    found = [text for axes in figure.axes if axes.axison for text in texts(axes, renderer)]
    assert found
    for text, box in found:
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1, f"{text!r} is cut off"
    for (first, one), (second, other) in itertools.combinations(found, 2):
        overlap = min(one.x1, other.x1) - max(one.x0, other.x0) > 0.5 and min(one.y1, other.y1) - max(one.y0, other.y0) > 0.5
        assert not overlap, f"{first!r} and {second!r} overlap"
    for legend in figure.legends:
        box = legend.get_window_extent(renderer)
        assert box.x0 >= page.x0 and box.x1 <= page.x1, "the legend is cut off"
        assert not any(box.overlaps(axes.get_window_extent(renderer)) for axes in figure.axes), "the legend covers data"


def test_every_figure_is_legible(study, results):
    for drawing in drawings(study, results).values():
        assert drawing.figure.get_figwidth() in (style.COLUMN_WIDTH, style.FULL_WIDTH)
        assert_legible(drawing.figure)


def test_ten_seeds_of_two_environments_are_legible(at_full_scale):
    for figure in (interactions, downstream):
        assert_legible(figure.draw(*at_full_scale).figure)


def test_published_figures_are_legible():
    for number, name in PUBLISHED.items():
        assert_legible(module(name).draw_published(number).figure)


def test_make_writes_whole_equal_files(study, results, tmp_path):
    for name in OF_MINIHACK:
        make(name, study, results, tmp_path / "once" / name)
    for name in ("reward_model", "semantic_reward"):
        make(name, study, results, tmp_path / "twice" / name)
    names = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert names == sorted(f"{name}{suffix}" for name in OF_MINIHACK for suffix in (".pdf", ".png", ".csv"))
    for name in names:
        once, twice = (tmp_path / folder / name for folder in ("once", "twice"))
        assert not twice.exists() or once.read_bytes() == twice.read_bytes(), name
    assert (
        b"/FontType 42" in (tmp_path / "once" / "downstream.pdf").read_bytes()
        or b"CIDFontType2" in (tmp_path / "once" / "downstream.pdf").read_bytes()
    )
    with Image.open(tmp_path / "once" / "interactions.png") as image:
        assert image.width == pytest.approx(style.FULL_WIDTH * 300, abs=1)
        assert np.asarray(image.convert("L")).std() > 10
    assert "3 seeds" in style.read_caption(tmp_path / "once" / "interactions.png")


def test_inputs_are_what_is_read(study, results):
    for name in OF_MINIHACK:
        assert all((results / path).exists() for path in inputs(name, study) if not path.endswith("index.parquet"))
    assert "minihack_keyroom_s15/reward/noisy_oracle/card.json" in inputs("reward_model", study)
    assert "minihack_keyroom_s15/explore/plan2explore/seed0/events.parquet" in inputs("semantic_reward", study)


def test_an_unknown_figure_lists_the_known_ones():
    with pytest.raises(
        SenseiError, match="interaction.*one of semantic_reward, interactions, task_rewards, open_drawer_light, downstream, reward_model"
    ):
        check(["downstream", "interaction"])


def test_interactions_shows_every_run(study, results):
    scores = read_scores(results / "scores.parquet")
    numbers = interactions.draw(study, scores).numbers
    ours = numbers[numbers["source"] == "ours"]
    runs = ours[(ours["drawn"] == "seed") & (ours["metric"] == "door_opened") & (ours["method"] == "sensei")]
    expected = scores[(scores["metric"] == "door_opened") & (scores["method"] == "sensei")]
    assert runs["value"].tolist() == expected["value"].tolist()
    mean = ours[(ours["drawn"] == "mean") & (ours["metric"] == "door_opened") & (ours["method"] == "sensei")].iloc[0]
    assert mean["value"] == pytest.approx(expected["value"].mean())
    assert expected["value"].min() <= mean["low"] <= mean["value"] <= mean["high"] <= expected["value"].max()


def assert_published_bars(numbers):
    bars = published.bars(5).set_index(["environment", "metric", "method"])
    theirs = numbers[numbers["source"] == "published"]
    assert len(theirs)
    for _, row in theirs.iterrows():
        bar = bars.loc[row["environment"], row["metric"], row["method"]]
        assert (row["value"], row["steps"], row["seeds"]) == (bar["mean"], 500_000, 10)
        assert row["high"] - row["low"] == pytest.approx(2 * bar["error"])


def test_published_bars_of_other_steps_have_a_row_of_their_own(study, results):
    drawing = interactions.draw(study, read_scores(results / "scores.parquet"))
    assert_published_bars(drawing.numbers)
    assert len(drawing.figure.axes) == 8
    assert drawing.numbers.groupby("panel")["source"].nunique().max() == 1
    assert "own" in drawing.caption and "paper's gate" in drawing.caption and "released code's gate" in drawing.caption


def test_published_bars_of_the_same_steps_stand_beside_ours(at_full_scale):
    drawing = interactions.draw(*at_full_scale)
    assert_published_bars(drawing.numbers)
    assert len(drawing.figure.axes) == 8
    assert drawing.numbers.groupby("panel")["source"].nunique().min() == 2
    labels = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert labels[:2] == ["SENSEI", "SENSEI, published"]


def test_an_environment_that_was_not_published_has_no_published_panel():
    study = make_study(("minihack_keyroom_s5",), (0, 1))
    assert interactions.published_values(5, published.name_of(study.settings["minihack_keyroom_s5"].environment)).empty
    assert downstream.published_values(7, "keyroom_s5").empty


def test_downstream_curves(study, results):
    drawing = downstream.draw(study, read_scores(results / "scores.parquet"))
    numbers = drawing.numbers
    assert numbers.groupby("panel")["source"].nunique().max() == 1, "12K steps and 1M steps share no axis"
    mean = numbers[(numbers["source"] == "ours") & (numbers["drawn"] == "mean") & (numbers["method"] == "ppo")]
    seeds = numbers[(numbers["source"] == "ours") & (numbers["drawn"] == "seed") & (numbers["method"] == "ppo")]
    np.testing.assert_allclose(mean["value"], seeds.groupby("step")["value"].mean())
    assert (mean["low"] <= mean["value"]).all() and (mean["value"] <= mean["high"]).all()
    assert "not smoothed" in drawing.caption and "2 episodes per evaluation" in drawing.caption


def test_published_curves_of_the_same_range_share_the_panel(at_full_scale):
    drawing = downstream.draw(*at_full_scale)
    assert len(drawing.figure.axes) == 2
    theirs = drawing.numbers[(drawing.numbers["source"] == "published") & (drawing.numbers["environment"] == "keyroom")]
    expected = published.curves(7).query("task == 'keyroom'")
    pd.testing.assert_series_equal(theirs["value"].reset_index(drop=True), expected["mean"].reset_index(drop=True), check_names=False)


def test_ppo_that_ran_on_is_cut_in_the_downstream_figure():
    study = make_study(seeds=(0, 1), learn_steps=12_000)
    rows = [
        ("minihack_keyroom_s15", "keyroom", method, seed, step, "score", 0.5)
        for method in study.learn
        for seed in (0, 1)
        for step in (6_000, 12_000)
    ]
    rows += [("minihack_keyroom_s15", "keyroom", "ppo", seed, 90_000, "score", 0.5) for seed in (0, 1)]
    scores = pd.DataFrame(rows, columns=["environment", "task", "method", "seed", "step", "metric", "value"])
    numbers = downstream.draw(study, scores).numbers
    assert numbers[numbers["source"] == "ours"]["step"].max() == 12_000
    numbers = module("ppo_convergence").draw(study, scores).numbers
    assert numbers[numbers["source"] == "ours"]["step"].max() == 90_000
    assert set(numbers["method"]) == {"ppo"}


def test_semantic_reward_takes_the_episode_with_the_most_different_events(study, results):
    events = study.settings["minihack_keyroom_s15"].environment.events
    counts = np.array([[9, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    table = pd.DataFrame(counts, columns=events).assign(worker=[0, 0, 1, 1], episode=[0, 1, 0, 1], length=[5, 90, 70, 3])
    table["finished"] = True
    assert semantic_reward.choose(table, events) == "worker01-000000.npz"
    assert semantic_reward.choose(table.assign(finished=[True, True, False, True]), events) == "worker00-000001.npz"
    with pytest.raises(SenseiError, match="explore_steps"):
        semantic_reward.choose(table.assign(length=0), events)


def test_semantic_reward_marks_start_first_events_and_end(study, results):
    (row,) = semantic_reward.load(study, results)
    assert row.marks == {0: "start", 8: "key picked up", 20: "door opened", 39: "end"}
    drawing = semantic_reward.draw(study, [row])
    assert len(drawing.figure.axes) == 5
    np.testing.assert_allclose(drawing.numbers["semantic_reward"], row.rewards)
    assert drawing.numbers.loc[20, "mark"] == "door opened"


def test_reward_model_marks_the_chosen_epoch(study, results):
    drawing = module("reward_model").draw(study, module("reward_model").load(study, results))
    assert "96.2% (epoch 3)" in drawing.caption and "noisy oracle" in drawing.caption
    assert len(drawing.figure.axes) == 2 * len(study.environments)


@pytest.mark.parametrize("name", ["curves.csv", "card.json"])
def test_missing_and_damaged_reward_files_are_named(study, tmp_path, name):
    write_study(study, tmp_path)
    path = tmp_path / "minihack_keyroom_s15" / "reward" / "noisy_oracle" / name
    path.write_text("epo")
    with pytest.raises(SenseiError, match=f"noisy_oracle/{name}"):
        module("reward_model").load(study, tmp_path)
    path.unlink()
    with pytest.raises(SenseiError, match=f"no .*noisy_oracle/{name}"):
        module("reward_model").load(study, tmp_path)


def test_labels_shows_agreement_and_the_published_shares(study, results):
    drawing = module("labels").draw(study, module("labels").load(study, results))
    numbers = drawing.numbers.set_index(["environment", "annotator", "measure", "other"])
    folder = results / "minihack_keyroom_s15" / "labels"
    table = pd.read_parquet(folder / "noisy_oracle" / "labels.parquet")
    mine, oracle = table["label"].to_numpy(int), table["oracle"].to_numpy(int)
    clear = (mine < 2) & (oracle < 2)
    agreed = numbers.loc[("minihack_keyroom_s15", "noisy_oracle", "accuracy", "oracle")]
    assert agreed["value"] == pytest.approx((mine == oracle)[clear].mean()) and agreed["count"] == clear.sum()
    assert numbers.loc[("minihack_keyroom_s15", "noisy_oracle", "kappa", "oracle"), "value"] == pytest.approx(
        cohen_kappa_score(mine, oracle)
    )
    learned = drawing.numbers[(drawing.numbers["measure"] == "held_out") & (drawing.numbers["annotator"] == "oracle")]
    assert learned["count"].tolist() == [4, 32, 320]
    llava = numbers.loc[("published", "llava")]
    assert llava.loc[("share", "first"), "value"] == pytest.approx(0.83297)
    assert llava.loc[("order_bias", ""), "value"] == pytest.approx(83297 / (83297 + 3407))
    assert "96.2% of 800" in drawing.caption


def test_labels_of_two_environments_and_many_annotators_are_legible(tmp_path):
    wide = make_study(("minihack_keyroom_s15", "minihack_keychest"), annotators=["oracle", "noisy_oracle", "captioned_clip", "gpt-4o"])
    write_labels_and_rewards(wide, tmp_path)
    assert_legible(module("labels").draw(wide, module("labels").load(wide, tmp_path)).figure)


@pytest.mark.parametrize("name", ["labels/oracle/card.json", "labels/oracle/labels.parquet", "reward/oracle/share0.01/card.json"])
def test_missing_and_damaged_label_files_are_named(study, tmp_path, name):
    write_labels_and_rewards(study, tmp_path)
    path = tmp_path / "minihack_keyroom_s15" / name
    for spoil in (lambda: path.write_text("{}"), path.unlink):
        spoil()
        with pytest.raises(SenseiError, match=name):
            module("labels").load(study, tmp_path)


def test_published_figures(tmp_path):
    written = draw_published(tmp_path)
    assert sorted(path.name for path in written) == sorted(
        f"fig{number}{suffix}" for number in PUBLISHED for suffix in (".pdf", ".png", ".csv")
    )
    assert all(path.stat().st_size > 500 for path in written)
    figure5 = pd.read_csv(tmp_path / "fig5.csv")
    assert_published_bars(figure5)
    assert len(figure5) == len(published.bars(5)) == 24
    for number, panels in ((6, 6), (15, 1), (16, 18)):
        drawn = pd.read_csv(tmp_path / f"fig{number}.csv")
        bars = drawn[drawn["steps"] == 1_000_000].merge(published.bars(number), on=["metric", "method"])
        assert len(bars) == len(published.bars(number)) and bars["metric"].nunique() == panels
        assert (bars["value"] == bars["mean"]).all() and (bars["band"] == "standard deviation").all()
    for number in (7, 13, 21):
        drawn, expected = pd.read_csv(tmp_path / f"fig{number}.csv"), published.curves(number)
        drawn["task"] = expected["task"]
        both = drawn.merge(expected, left_on=["task", "method", "step"], right_on=["task", "method", "x"])
        assert len(both) == len(drawn) == len(expected)
        assert (both["value"] == both["mean"]).all()
    assert "Fig. 13" in style.read_caption(tmp_path / "fig13.png")


def test_one_seed_is_drawn_without_an_interval(tmp_path):
    study = make_study(seeds=(0,))
    write_study(study, tmp_path)
    for name in ("interactions", "downstream"):
        drawing = module(name).draw(study, module(name).load(study, tmp_path))
        assert drawing.numbers.loc[drawing.numbers["source"] == "ours", "low"].isna().all()
        assert "one seed" in drawing.caption
        assert_legible(drawing.figure)


# Machado, Oliveira and Fernandes (2009), severity 1: what a reader without one kind of cone sees of linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def lab(colour: str, blindness: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as seen with one kind of colour blindness."""
    rgb = np.array([int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[blindness]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_of_methods_stay_apart(blindness):
    assert set(EXPLORE) < set(style.COLOURS) == set(style.MARKERS)
    for first, second in itertools.combinations(style.COLOURS.values(), 2):
        distance = np.linalg.norm(lab(first, blindness) - lab(second, blindness))
        assert distance > 15, f"{first} and {second}: {distance:.1f}"


def test_a_method_of_ones_own_has_a_colour():
    assert style.colour("mine") == style.colour("mine")
    assert style.colour("mine") not in style.COLOURS.values()


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.25, "0.25"), (950, "950"), (1000, "1K"), (500_000, "500K"), (1_500_000, "1.5M")])
def test_short_numbers(value, text):
    assert style.count(value) == text


def robodesk_scores(seeds=(0, 1), explore_steps=5_000, learn_steps=4_000):
    """A study of Robodesk and scores of it: event number k of seed s happened 10 k + s times."""
    study = make_study(("robodesk",), seeds, explore_steps, learn_steps)
    settings = study.settings["robodesk"].environment
    rows = []
    for method, seed in itertools.product(study.explore, seeds):
        rows += [("robodesk", "explore", method, seed, explore_steps, name, 10.0 * k + seed) for k, name in enumerate(settings.events)]
    for task, method, seed, part in itertools.product(settings.tasks, study.learn, seeds, range(5)):
        rows.append(("robodesk", task, method, seed, part * learn_steps // 4, "score", part / 4))
    return study, pd.DataFrame(rows, columns=["environment", "task", "method", "seed", "step", "metric", "value"])


def test_robodesk_figures_are_legible_and_keep_published_values_apart():
    study, scores = robodesk_scores()
    for name, panels in (("interactions", 3 * 6), ("task_rewards", 2 * 18), ("open_drawer_light", 2), ("downstream", 2 * 3)):
        drawing = module(name).draw(study, scores)
        assert_legible(drawing.figure)
        assert len([axes for axes in drawing.figure.axes if axes.axison]) == panels, name
        assert drawing.numbers.groupby("panel")["source"].nunique().max() == 1, "published values are on our axes"
        assert set(drawing.numbers["source"]) == {"ours", "published"}


def test_buttons_are_the_sum_of_three_per_seed():
    study, scores = robodesk_scores()
    events = study.settings["robodesk"].environment.events
    numbers = interactions.draw(study, scores).numbers
    ours = numbers[(numbers["metric"] == "buttons") & (numbers["method"] == "sensei") & (numbers["drawn"] == "seed")]
    first = sum(10 * events.index(f"{colour}_button_moved") for colour in ("red", "green", "blue"))
    assert ours["value"].tolist() == [first, first + 3]


def test_at_the_papers_steps_robodesk_shares_its_axes():
    study, scores = robodesk_scores((0, 1, 2), 1_000_000, 1_000_000)
    drawing = interactions.draw(study, scores)
    assert "5K steps" not in " ".join(drawing.numbers["panel"]) and any("hatched" in title for title in drawing.numbers["panel"])
    assert_legible(drawing.figure)


def test_early_checkpoints_are_those_of_the_logs():
    table = published.early_checkpoints().set_index(["method", "metric"])
    assert table.loc[("plan2explore", "drawer"), ["mean", "error"]].round().tolist() == [1580, 279]
    assert table.loc[("sensei_general", "buttons"), ["mean", "error"]].round().tolist() == [1431, 581]
    assert (table["seeds"] == 3).all() and table["steps"].between(240_000, 260_000).all()


def test_task_rewards_of_a_study_without_robodesk_are_refused(study, results):
    with pytest.raises(SenseiError, match="expected robodesk in `environments`"):
        module("task_rewards").draw(study, read_scores(results / "scores.parquet"))
