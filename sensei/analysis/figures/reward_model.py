"""Loss and accuracy of the reward models over epochs; one row of panels per environment, one colour per annotator."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sensei.analysis import style
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.core.files import read_json
from sensei.study.models.study import Study

METRICS = ("accuracy", "loss")
CURVES = ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
PARTS = {"validation": {"linestyle": "-", "linewidth": 1.3}, "train": {"linestyle": (0, (2, 1.5)), "linewidth": 0.9}}
ANNOTATOR_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def load(study: Study, results: Path) -> pd.DataFrame:
    """All curves below `results` (= results/{study}): columns environment, annotator, chosen (epoch), `CURVES`.

    Raises:
        SenseiError: a file is missing or damaged, named.
    """
    tables = []
    for environment in study.environments:
        for annotator in study.annotators_of(environment):
            folder = Path(results) / environment / "reward" / annotator
            curves = read_curves(folder / "curves.csv")
            tables.append(
                curves.assign(environment=environment, annotator=annotator, chosen=read_card(folder / "card.json")["chosen_epoch"])
            )
    return pd.concat(tables, ignore_index=True)


def read_curves(path: Path) -> pd.DataFrame:
    """Read one curves.csv; a missing or damaged one is a SenseiError that names it."""
    hint = f"delete {path} and run again"
    try:
        table = pd.read_csv(path)
    except FileNotFoundError as error:
        raise SenseiError(f"there is no {path}", hint="run the stage `distil` first") from error
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise SenseiError(f"{path} is damaged", found=error, hint=hint) from error
    if not set(CURVES) <= set(table.columns) or table.empty:
        raise SenseiError(f"{path} is damaged", found=", ".join(table.columns), expected=", ".join(CURVES), hint=hint)
    return table[CURVES]


def read_card(path: Path) -> dict:
    """Read one reward card; a missing or damaged one is a SenseiError that names it."""
    return checked_card(path, "reward card", "distil", ("chosen_epoch", "held_out", "oracle", "validation_loss"))


def checked_card(path: Path, kind: str, stage: str, keys: tuple[str, ...]) -> dict:
    """Read the card that `stage` writes; a missing one, or one without `keys`, is a SenseiError that names it."""
    if not path.exists():
        raise SenseiError(f"there is no {path}", hint=f"run the stage `{stage}` first")
    card = read_json(path)
    if not isinstance(card, dict) or not set(keys) <= set(card):
        raise SenseiError(f"{path} is no {kind}", expected=f"a mapping with `{keys[0]}`", hint=f"delete {path} and run again")
    return card


@style.styled()
def draw(study: Study, curves: pd.DataFrame) -> Drawing:
    """Validation solid, training dashed, the chosen epoch as a ring.

    Args:
        curves: as `load` returns them.
    """
    environments = list(dict.fromkeys(curves["environment"]))
    annotators = list(dict.fromkeys(curves["annotator"]))
    colours = {name: ANNOTATOR_COLOURS[index % len(ANNOTATOR_COLOURS)] for index, name in enumerate(annotators)}
    figure = style.figure(style.FULL_WIDTH, 1.75 * len(environments) + 0.28)
    grid = figure.subplots(len(environments), len(METRICS), squeeze=False)
    for row, environment in zip(grid, environments, strict=True):
        for axes, metric in zip(row, METRICS, strict=True):
            _panel(axes, curves[curves["environment"] == environment], metric, colours)
            axes.set_title(f"{study.settings[environment].environment.title}: {metric}")
    handles = [Line2D([], [], color=colours[name], label=name.replace("_", " ")) for name in annotators]
    handles += [Line2D([], [], color=style.FAINT, label=part, **line) for part, line in PARTS.items()]
    handles.append(Line2D([], [], **_ring(style.FAINT), label="chosen epoch"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6))
    return Drawing(figure, curves, _caption(study, curves))


def _panel(axes: Axes, curves: pd.DataFrame, metric: str, colours: dict[str, str]) -> None:
    for annotator, table in curves.groupby("annotator", sort=False):
        for part, line in PARTS.items():
            axes.plot(table["epoch"], table[f"{part}_{metric}"], color=colours[annotator], **line)
        chosen = table[table["epoch"] == table["chosen"]]
        axes.plot(chosen["epoch"], chosen[f"validation_{metric}"], **_ring(colours[annotator]))
    axes.set_xlabel("epoch")
    axes.set_ylabel(metric)
    if metric == "accuracy":
        lowest = curves[["train_accuracy", "validation_accuracy"]].min(axis=None)
        axes.set_ylim(min(0.48, lowest - 0.02), 1.02)
    else:
        axes.set_ylim(bottom=0)
    style.count_axis(axes.xaxis, 5)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _ring(colour: str) -> dict:
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
