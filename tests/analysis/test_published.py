"""The published values: what is asked for and not there is an error, and what can be computed from raw runs is what the figures say."""

import numpy as np
import pandas as pd
import pytest

from sensei.analysis import published
from sensei.analysis.claims import published_pair
from sensei.analysis.statistics import standard_error
from sensei.core.errors import SenseiError


def test_early_checkpoints_are_those_of_the_logs():
    table = published.early_checkpoints("robodesk").set_index(["method", "metric"])
    assert table.loc[("plan2explore", "drawer"), ["mean", "error"]].round().tolist() == [1580, 279]
    assert table.loc[("sensei_general", "buttons"), ["mean", "error"]].round().tolist() == [1431, 581]
    assert (table["seeds"] == 3).all() and table["steps"].between(240_000, 260_000).all()
    assert published.early_checkpoints("keyroom").empty


@pytest.mark.parametrize("number, kind", [(6, "interaction"), (15, "task_success")])
def test_means_and_errors_are_those_of_the_raw_runs(number, kind):
    """Of RND alone the logs have the runs behind the bars; both must agree to one per cent of the panel's scale."""
    runs = published.over_runs(published.logged(kind).query("method == 'rnd'")).set_index("metric")
    bars = published.bars(number)
    for bar in bars.query("method == 'rnd'").itertuples():
        scale = bars.loc[bars["metric"] == bar.metric, "mean"].max()
        assert abs(runs.loc[bar.metric, "mean"] - bar.mean) <= 0.01 * scale, bar.metric
        assert abs(runs.loc[bar.metric, "error"] - bar.error) <= 0.01 * scale, bar.metric
        assert bar.error_kind == "standard_deviation"


def test_the_divisor_is_n():
    raw = published.logged("task_success").query("method == 'rnd' and metric == 'open_drawer_light'")["count"].to_numpy()
    bar = published.value(15, "robodesk", "rnd", "open_drawer_light")
    assert sorted(raw) == [2717, 3792, 5088]
    assert raw.mean() == pytest.approx(bar["mean"], rel=0.01) and raw.std() == pytest.approx(bar["error"], rel=0.02)
    assert abs(raw.std(ddof=1) - bar["error"]) > 0.1 * bar["error"] and standard_error(raw) < bar["error"] / 1.5


def test_what_was_not_published_is_an_error_and_never_a_zero():
    with pytest.raises(SenseiError, match=r"figure 99.*paper_figures.csv.*one of 5, 6"):
        published.bars(99)
    with pytest.raises(SenseiError, match="figure 5 is in paper_curves.csv"):
        published.curves(5)
    with pytest.raises(SenseiError, match="no method 'rnd': expected one of plan2explore, sensei, vlm_motif"):
        published.value(5, "keyroom", "rnd", "door_opened")
    with pytest.raises(SenseiError, match="no metric 'ball'"):
        published.value(5, "keyroom", "sensei", "ball")
    assert published.value(5, "keyroom", "sensei", "environment_reward")["mean"] == 51.4


@pytest.mark.parametrize("number", [7, 13, 21])
def test_a_figure_of_curves_has_one_axis_and_one_smoothing(number):
    curves = published.curves(number)
    assert curves["x_name"].nunique() == curves["smoothing"].nunique() == 1


def test_figures_can_be_asked_for_together():
    assert set(published.curves(7, 21)["environment"]) == {"keyroom", "keychest", "robodesk"}
    assert len(published.bars(5, 6)) == len(published.bars(5)) + len(published.bars(6))
    assert len(published.bars()) == 384 and len(published.curves()) == 544


def test_whatever_is_drawn_has_a_title():
    titles = published.titles()
    tables = published.bars(), published.curves(), published.logged(), published.reward_model_curves()
    named = {name for table in tables for column in ("environment", "method", "annotator") if column in table for name in table[column]}
    assert named | set(published.label_shares()["annotator"]) | set(published.training_metrics()["annotator"]) == set(titles)
    assert len(set(titles.values())) == len(titles), "two things are called the same"


def test_table_1_is_what_the_notes_of_figure_20_say():
    notes = published.bars(20).drop_duplicates("method").set_index("method")["note"]
    for row in published.gate_settings().itertuples():
        told = dict(part.strip().split("=") for part in notes[row.method].removeprefix("Table 1:").split(";"))
        assert {name: float(value) for name, value in told.items()} == {name: getattr(row, name) for name in told}


def test_hyperparameters_of_appendix_b():
    table = published.hyperparameters().set_index("name")
    assert set(published.SETTINGS) < set(table.columns) and not table[published.SETTINGS].isna().any(axis=None)
    assert table.loc["alpha_explore", published.SETTINGS].tolist() == ["0.1", "0.1", "0.05", "0.01", "0.3", "0.25", "0.025"]
    assert table.loc["quantile", "keyroom"] == "0.90" and table.loc["explore_steps", "pokemon"] == "750000"


def test_curves_of_reward_models_count_what_was_trained():
    table = published.reward_model_curves().set_index(["annotator", "epoch"])
    assert np.isnan(table.loc[("gpt4", 0), "train_loss"]) and table.loc[("gpt4", 1), "validation_accuracy"] == pytest.approx(
        0.961, abs=1e-3
    )
    best = table["validation_loss"].groupby("annotator").idxmin()
    assert best.tolist() == [("gpt4", 20), ("gpt4general", 30), ("llava", 3)]


def test_training_metrics_are_whole():
    table = published.training_metrics()
    assert len(table) == 34_005 and table["step"].max() <= 250_000 and set(table["run"]) == {10, 11, 12}
    late = table[(table["annotator"] == "gpt") & table["step"].between(200_000, 250_000)].groupby("metric")["value"].median()
    assert late["train/image_loss_mean"] == pytest.approx(8.0, abs=0.1) and late["train/expl_disag_reward_mean"] == pytest.approx(
        0.017, abs=1e-3
    )


def test_every_claim_holds_in_the_published_values():
    claims = published.claims()
    assert len(claims) == len(claims.drop_duplicates())
    for claim in claims.itertuples():
        better, worse = published_pair(claim)
        assert better > worse, claim


def test_no_value_is_missing_without_a_note():
    bars = published.bars()
    assert bars["mean"].notna().all()
    assert bars[bars["error"].isna() & ~bars["number"].isin([8, 25])]["note"].str.contains("small|hidden|resolve").all()
    assert pd.api.types.is_numeric_dtype(published.curves()["mean"])
