"""Loss and accuracy of the reward models over epochs; one row of panels per environment, one colour per annotator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sensei.analysis import style
from sensei.analysis.cards import read_curves, read_reward_card
from sensei.analysis.figures.contract import Figure
from sensei.analysis.inputs import Inputs
from sensei.analysis.style import Drawing
from sensei.study.layout import Layout
from sensei.study.models.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = ("accuracy", "loss")
LINES = {"validation": {"linestyle": "-", "linewidth": 1.3}, "train": {"linestyle": style.DASHES, "linewidth": 0.9}}


class RewardModel(Figure):
    """Validation solid, training dashed, the chosen epoch as a ring."""

    title = "loss and accuracy of the reward models over epochs"

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """Curves and card of every reward model."""
        models = [layout.reward(*names) for names in study.labelled()]
        return {"curves": [model.curves for model in models], "cards": [model.card for model in models]}

    def load(self, study: Study, inputs: Inputs) -> pd.DataFrame:
        """All curves: columns environment, annotator, chosen (epoch), `sensei.analysis.cards.CURVES`.

        Raises:
            SenseiError: a file is missing or damaged, named.
        """
        tables = []
        for (environment, annotator), curves, card in zip(study.labelled(), inputs["curves"], inputs["cards"], strict=True):
            chosen = read_reward_card(card)["chosen_epoch"]
            tables.append(read_curves(curves).assign(environment=environment, annotator=annotator, chosen=chosen))
        return pd.concat(tables, ignore_index=True)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """A panel of accuracy and one of loss for each environment."""
        from matplotlib.lines import Line2D

        environments, colours = data["environment"].unique(), style.colours_of(data["annotator"])
        figure = style.figure(style.FULL_WIDTH, 1.75 * len(environments) + 0.28)
        grid = figure.subplots(len(environments), len(METRICS), squeeze=False)
        for row, environment in zip(grid, environments, strict=True):
            for axes, metric in zip(row, METRICS, strict=True):
                _panel(axes, data[data["environment"] == environment], metric, colours)
                axes.set_title(f"{study.settings[environment].environment.title}: {metric}")
        handles = [Line2D([], [], color=colour, label=name.replace("_", " ")) for name, colour in colours.items()]
        handles += [Line2D([], [], color=style.FAINT, label=part, **line) for part, line in LINES.items()]
        handles.append(Line2D([], [], **_ring(style.FAINT), label="chosen epoch"))
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6))
        return Drawing(figure, data, _caption(study, data))


def _panel(axes: Axes, curves: pd.DataFrame, metric: str, colours: dict[str, str]) -> None:
    import seaborn as sns

    for part, line in LINES.items():
        y = f"{part}_{metric}"
        sns.lineplot(curves, x="epoch", y=y, hue="annotator", palette=colours, errorbar=None, legend=False, ax=axes, **line)
    for chosen in curves[curves["epoch"] == curves["chosen"]].itertuples():
        axes.plot(chosen.epoch, getattr(chosen, f"validation_{metric}"), **_ring(colours[chosen.annotator]))
    axes.set(xlabel="epoch", ylabel=metric)
    if metric == "accuracy":
        lowest = curves[["train_accuracy", "validation_accuracy"]].min(axis=None)
        axes.set_ylim(min(0.48, lowest - 0.02), 1.02)
    else:
        axes.set_ylim(bottom=0)
    style.count_axis(axes.xaxis, 5)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _ring(colour: str) -> dict[str, Any]:
    return {
        "marker": "o",
        "markersize": 6,
        "markerfacecolor": "none",
        "markeredgecolor": colour,
        "markeredgewidth": 1.1,
        "linestyle": "",
        "clip_on": False,
    }


def _caption(study: Study, curves: pd.DataFrame) -> str:
    parts = []
    for (environment, annotator), table in curves[curves["epoch"] == curves["chosen"]].groupby(["environment", "annotator"], sort=False):
        best, title = table.iloc[0], study.settings[environment].environment.title
        parts.append(f"{title}, {annotator.replace('_', ' ')}: {best['validation_accuracy']:.1%} (epoch {best['epoch']:.0f})")
    share = study.settings[study.environments[0]].reward.validation_share
    return (
        f"Reward models over epochs, one model per environment and annotator, so there is no band. Held out: {share:.0%} of the pairs. "
        f"The chosen epoch has the lowest validation loss; accuracy there on held-out pairs: {'; '.join(parts)}."
    )
