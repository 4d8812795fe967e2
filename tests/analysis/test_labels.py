"""How good labels are: shares, order bias, agreement, and what reward models learn from how many of them."""

import pandas as pd
import pytest
from fakes.analysis_tree import make_study, write_labels_and_rewards
from sklearn.metrics import cohen_kappa_score

from sensei.analysis.figures.label_panels import CODE_COLOURS
from sensei.analysis.figures.registry import figure
from sensei.analysis.style import styled
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout

KEYROOM = "minihack_keyroom_s15"


def test_agreement_and_the_published_shares(study, layout, drawn):
    drawing = drawn("labels", study, layout)
    numbers = drawing.numbers.set_index(["environment", "annotator", "measure", "other"]).sort_index()
    table = pd.read_parquet(layout.labels(KEYROOM, "noisy_oracle").labels)
    mine, oracle = table["label"].to_numpy(int), table["oracle"].to_numpy(int)
    clear = (mine < 2) & (oracle < 2)
    agreed = numbers.loc[(KEYROOM, "noisy_oracle", "accuracy", "oracle")]
    assert agreed["value"] == pytest.approx((mine == oracle)[clear].mean()) and agreed["count"] == clear.sum()
    assert numbers.loc[(KEYROOM, "noisy_oracle", "kappa", "oracle"), "value"] == pytest.approx(cohen_kappa_score(mine, oracle))
    learned = drawing.numbers[(drawing.numbers["measure"] == "held_out") & (drawing.numbers["annotator"] == "oracle")]
    assert learned["count"].tolist() == [4, 32, 320]
    llava = numbers.loc[("published", "llava")]
    assert llava.loc[("share", "first"), "value"] == pytest.approx(0.83297)
    assert llava.loc[("order_bias", ""), "value"] == pytest.approx(83297 / (83297 + 3407))
    assert "96.2% of 800" in drawing.caption


def test_bars_are_stacked_in_the_order_of_the_legend(study, layout, drawn):
    axes = drawn("labels", study, layout).figure.axes[0]
    for line in range(len(study.annotators)):
        bars = sorted((bar for bar in axes.patches if round(bar.get_y() + bar.get_height() / 2) == line), key=lambda bar: bar.get_x())
        assert [bar.get_width() for bar in bars] == pytest.approx([0.5, 0.25, 0.05, 0.2])  # first, second, tie, unknown
        assert [bar.get_facecolor()[:3] for bar in bars] == [pytest.approx(_rgb(colour)) for colour in CODE_COLOURS.values()]


@pytest.mark.parametrize(
    "drawn_of, said",
    [
        (lambda table: table, {"by the oracle": "-", "by its own labels": "--"}),
        (lambda table: table[table["count"] == 320], {"by the oracle": "None", "by its own labels": "None"}),
        (lambda table: table[table["measure"] != "held_out_oracle"], {"by its own labels": "--"}),
    ],
    ids=["curves", "single points", "no oracle"],
)
def test_the_legend_names_what_is_drawn(drawn_of, said, study, layout, legible):
    one = figure("labels")
    data = one.load(study, one.inputs(study, layout))
    learned = data["measure"].str.startswith("held_out")
    curves = drawn_of(data[learned])
    series, data = curves.groupby(["annotator", "measure"]).ngroups, pd.concat([data[~learned], curves])
    with styled():
        drawing = one.draw(study, data)
    shown = {
        line.get_label(): line.get_linestyle()
        for axes in drawing.figure.axes
        if axes.get_legend()
        for line in axes.get_legend().get_lines()
    }
    assert shown == said
    learning = next(axes for axes in drawing.figure.axes if axes.get_ylabel() == "accuracy")
    assert sum(line.get_marker() == "o" for line in learning.lines) == series, "a single point shows"
    legible(drawing.figure)


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


def test_two_environments_and_many_annotators_are_legible(tmp_path, drawn, legible):
    wide = make_study((KEYROOM, "minihack_keychest"), annotators=["oracle", "noisy_oracle", "captioned_clip", "gpt-4o"])
    layout = Layout(tmp_path)
    write_labels_and_rewards(wide, layout)
    legible(drawn("labels", wide, layout).figure)


@pytest.mark.parametrize("name", ["card", "labels", "learned"])
def test_missing_and_damaged_files_are_named(study, tmp_path, drawn, name):
    layout = Layout(tmp_path)
    write_labels_and_rewards(study, layout)
    labels = layout.labels(KEYROOM, "oracle")
    path = {"card": labels.card, "labels": labels.labels, "learned": layout.reward(KEYROOM, "oracle", share=0.01).card}[name]
    for spoil in (lambda: path.write_text("{}"), path.unlink):
        spoil()
        with pytest.raises(SenseiError, match=f"{path.parent.name}/{path.name}"):
            drawn("labels", study, layout)
