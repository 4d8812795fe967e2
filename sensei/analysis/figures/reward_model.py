"""Loss and accuracy of the reward models over epochs; one row of panels per environment, one colour per annotator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sensei.analysis import published, style
from sensei.analysis.cards import read_curves, read_reward_card
from sensei.analysis.figures.contract import Figure
from sensei.analysis.inputs import Inputs
from sensei.analysis.style import Drawing
from sensei.study.layout import Layout
from sensei.study.models.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

LEAST_LOSS = 0.75  # top of the axis: above that of a model that has learned nothing, log 2
METRICS = ("accuracy", "loss")
LONG = 60  # characters of all names together, which do not fit side by side
LINES = {"validation": {"linestyle": "-", "linewidth": 1.3}, "train": {"linestyle": style.DASHES, "linewidth": 0.9}}


class RewardModel(Figure):
    """Validation solid, training dashed, the epoch of the lowest validation loss as a ring."""

    title = "loss and accuracy of the reward models over epochs"
    draws_labels = True
    published = ("reward_models",)

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """Curves and card of every reward model."""
        models = [layout.reward(*names) for names in study.label_sets()]
        return {"curves": [model.curves for model in models], "cards": [model.card for model in models]}

    def load(self, study: Study, inputs: Inputs) -> pd.DataFrame:
        """All curves: columns environment, annotator, chosen (epoch), `sensei.analysis.cards.CURVES`.

        Raises:
            SenseiError: a file is missing or damaged, named.
        """
        tables = []
        for (environment, *named), curves, card in zip(study.label_sets(), inputs["curves"], inputs["cards"], strict=True):
            chosen = read_reward_card(card)["chosen_epoch"]
            tables.append(read_curves(curves).assign(environment=environment, annotator=study.named(*named), chosen=chosen))
        return pd.concat(tables, ignore_index=True)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """A panel of accuracy and one of loss for each environment."""
        titles = {name: study.settings[name].environment.title for name in study.environments}
        names = {name: name.replace("_", " ") for name in data["annotator"]}
        share = study.settings[study.environments[0]].reward.validation_share
        caption = (
            f"Reward models over epochs, one model per environment and annotator, so there is no band. Held out: {share:.0%} of the pairs. "
            f"The chosen epoch has the lowest validation loss; accuracy there on held-out pairs: {_chosen(data, titles, names)}."
        )
        return Drawing(_drawn(data, titles, names), data, caption)

    def draw_published(self, number: str) -> Drawing:
        """The logs of the published reward models."""
        titles, data = published.titles(), published.reward_model_curves()
        best = data.loc[data.groupby(["environment", "annotator"])["validation_loss"].idxmin()].set_index(["environment", "annotator"])
        data = data.join(best["epoch"].rename("chosen"), on=["environment", "annotator"])
        caption = (
            "Published reward models of Robodesk over epochs, from the logs (exact); one model an annotator, so there is no band. LLaVA's "
            "is the replication's, the others are the authors'. Ringed is the epoch with the lowest validation loss; accuracy there on "
            f"held-out pairs: {_chosen(data, titles, titles)}. The models that made the figures are those of other epochs (15 and 28)."
        )
        return Drawing(_drawn(data, titles, titles), data, caption)


def _drawn(data: pd.DataFrame, titles: dict[str, str], names: dict[str, str]) -> MatplotlibFigure:
    """A row of two panels for each environment of `data`."""
    from matplotlib.lines import Line2D

    environments, colours = data["environment"].unique(), style.colours_of(data["annotator"])
    figure = style.figure(style.FULL_WIDTH, 1.75 * len(environments) + 0.28)
    grid = figure.subplots(len(environments), len(METRICS), squeeze=False)
    for row, environment in zip(grid, environments, strict=True):
        for axes, metric in zip(row, METRICS, strict=True):
            _panel(axes, data[data["environment"] == environment], metric, colours)
            axes.set_title(f"{titles[environment]}: {metric}")
    handles = [Line2D([], [], color=colour, label=names[name]) for name, colour in colours.items()]
    handles += [Line2D([], [], color=style.FAINT, label=part, **line) for part, line in LINES.items()]
    handles.append(Line2D([], [], **_ring(style.FAINT), label="lowest validation loss"))
    columns = 6 if sum(len(names[name]) for name in colours) < LONG else 4
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), columns))
    return figure


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
        axes.set_ylim(0, max(axes.get_ylim()[1], LEAST_LOSS))
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


def _chosen(curves: pd.DataFrame, titles: dict[str, str], names: dict[str, str]) -> str:
    """What each model reaches at its chosen epoch."""
    parts = []
    for (environment, annotator), table in curves[curves["epoch"] == curves["chosen"]].groupby(["environment", "annotator"], sort=False):
        best = table.iloc[0]
        parts.append(f"{titles[environment]}, {names[annotator]}: {best['validation_accuracy']:.1%} (epoch {best['epoch']:.0f})")
    return "; ".join(parts)
