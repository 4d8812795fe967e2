"""How good the labels are: their shares, order bias and agreement, and how well a reward model learns from how many of them.

One row of panels per environment; below them the published labels of Robodesk frames.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from sensei.analysis import published, style
from sensei.analysis.figures import PARTS
from sensei.analysis.figures.captions import listing
from sensei.analysis.figures.reward_model import ANNOTATOR_COLOURS, checked_card, read_card
from sensei.analysis.style import Drawing
from sensei.preferences.agreement import accuracy, cohen_kappa, order_bias
from sensei.preferences.pair import Label
from sensei.preferences.tables import read_labels
from sensei.study.models.study import Study

CODES = tuple(code.name.lower() for code in Label)
CODE_COLOURS = {"first": "#0072B2", "second": "#E69F00", "tie": "#BBBBBB", "unknown": "#E8E8E8"}
ORACLE = "oracle"
PUBLISHED = "published"
PUBLISHED_TITLES = {"gpt4": "GPT-4, two views", "gpt4general": "GPT-4, general prompt", "llava": "LLaVA-1.5-7B"}
COLUMNS = ["environment", "annotator", "measure", "other", "value", "low", "high", "count"]
ROW_HEIGHT = 0.24  # inches of an annotator
FRAME = 0.55  # inches of titles and axes of a row of panels
MOST_UPRIGHT = 3  # columns whose names fit side by side
LYING = 0.25  # inches that they take more if they do not


def load(study: Study, results: Path) -> pd.DataFrame:
    """Everything the figure shows, `COLUMNS`; `measure` is one of share (of the code `other`), order_bias, swap_consistency, accuracy and
    kappa (with the annotator `other`), held_out and held_out_oracle (of a reward model, learned from `count` pairs).

    Raises:
        SenseiError: a file is missing or damaged, named.
    """
    rows = []
    for environment in study.environments:
        tables = {
            name: read_labels(Path(results) / environment / "labels" / name / "labels.parquet") for name in study.annotators_of(environment)
        }
        for name in study.annotators_of(environment):
            card = read_label_card(Path(results) / environment / "labels" / name / "card.json")
            rows += [(environment, name, *row) for row in (*_own(card), *_agreements(name, tables))]
            for part in PARTS:
                reward = read_card(Path(results) / environment / "reward" / name / part / "card.json")
                rows += [(environment, name, *row) for row in _learned(reward, part)]
    rows += [(PUBLISHED, *row) for row in _published()]
    return pd.DataFrame(rows, columns=COLUMNS)


def read_label_card(path: Path) -> dict:
    """Read one label card; a missing or damaged one is a SenseiError that names it."""
    return checked_card(path, "label card", "labels", ("order_bias", "pairs", "shares", "swap_consistency"))


def _own(card: dict) -> list[tuple]:
    """(measure, other, value, low, high, count) of what a label card says."""
    rows = [("share", code, card["shares"][code], None, None, card["pairs"]) for code in CODES]
    return rows + [(measure, "", *_interval(card[measure])) for measure in ("order_bias", "swap_consistency")]


def _agreements(name: str, tables: dict[str, pd.DataFrame]) -> list[tuple]:
    """(measure, other, value, low, high, count) of an annotator with the oracle and with every other annotator."""
    own, rows = tables[name], []
    others = {other: table["label"] for other, table in tables.items() if other not in (name, ORACLE)}
    if name != ORACLE and own["oracle"].notna().all():
        others[ORACLE] = own["oracle"]
    for other, labels in others.items():
        both = (own["label"].notna() & labels.notna()).to_numpy()
        mine, theirs = (column[both].to_numpy(np.int64) for column in (own["label"], labels))
        rows.append(("accuracy", other, *_interval(accuracy(mine, theirs))))
        rows.append(("kappa", other, cohen_kappa(mine, theirs), None, None, int(both.sum())))
    return rows


def _learned(card: dict, part: str) -> list[tuple]:
    """(measure, other, value, low, high, count) of a reward model that learned from a part of the labels."""
    pairs, other = card["pairs"]["training"], part.strip("/") or "share1"
    measured = {"held_out": card["held_out"], "held_out_oracle": card["oracle"]}
    return [(measure, other, *_interval(share)[:3], pairs) for measure, share in measured.items() if share]


def _published() -> list[tuple]:
    """(annotator, measure, other, value, low, high, count) of the published labels."""
    rows = []
    for row in published.label_shares().itertuples():
        counts = [getattr(row, code) for code in CODES]
        rows += [
            (row.annotator, "share", code, count / row.pairs, None, None, row.pairs) for code, count in zip(CODES, counts, strict=True)
        ]
        rows.append((row.annotator, "order_bias", "", *_interval(order_bias(np.repeat(np.arange(len(CODES)), counts)))))
    return rows


def _interval(share: dict) -> tuple:
    return share["share"], share["low"], share["high"], share["count"]


@style.styled()
def draw(study: Study, numbers: pd.DataFrame) -> Drawing:
    """Shares and order bias side by side, agreement as a table of numbers, accuracy of reward models over the number of labels.

    Args:
        numbers: as `load` returns them.
    """
    environments = list(dict.fromkeys(numbers["environment"]))
    annotators = {name: list(dict.fromkeys(numbers.loc[numbers["environment"] == name, "annotator"])) for name in environments}
    colours = _colours(list(dict.fromkeys(name for names in annotators.values() for name in names)), annotators.get(PUBLISHED, []))
    heights = [max(ROW_HEIGHT * len(annotators[name]), 0.0 if name == PUBLISHED else 0.8) + FRAME for name in environments]
    lying = [LYING * (name != PUBLISHED and len(annotators[name]) > MOST_UPRIGHT) for name in environments]
    heights = [height + more for height, more in zip(heights, lying, strict=True)]
    figure = style.figure(style.FULL_WIDTH, sum(heights))
    grid = figure.subplots(len(environments), 4, squeeze=False, width_ratios=[1.3, 0.9, 1.2, 1.3], height_ratios=heights)
    for row, environment in zip(grid, environments, strict=True):
        own = numbers[numbers["environment"] == environment]
        _shares(row[0], own, annotators[environment])
        row[0].set_title("published: Robodesk" if environment == PUBLISHED else study.settings[environment].environment.title)
        _bias(row[1], own, annotators[environment])
        row[1].set_title("order bias")
        if environment == PUBLISHED:
            row[2].axis("off")
            row[3].axis("off")
            continue
        _agreement(row[2], own, annotators[environment])
        row[2].set_title("agreement")
        _learning(row[3], own, {name: colours[name] for name in annotators[environment]})
        row[3].set_title("reward model")
    _legend(grid[-1], colours)
    return Drawing(figure, numbers, _caption(study, numbers))


def _colours(annotators: list[str], without: list[str]) -> dict[str, str]:
    """Annotator -> its colour, the same in every row, of those that are not in `without`."""
    shown = [name for name in annotators if name not in without]
    return {name: ANNOTATOR_COLOURS[index % len(ANNOTATOR_COLOURS)] for index, name in enumerate(shown)}


def _rows(axes: Axes, names: list[str]) -> None:
    """One row for each of `names`, from the top."""
    axes.set_yticks(range(len(names)), [PUBLISHED_TITLES.get(name, name.replace("_", " ")) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _shares(axes: Axes, numbers: pd.DataFrame, annotators: list[str]) -> None:
    shares = numbers[numbers["measure"] == "share"].pivot(index="annotator", columns="other", values="value").loc[annotators, list(CODES)]
    left = np.zeros(len(annotators))
    for code in CODES:
        axes.barh(range(len(annotators)), shares[code], 0.62, left=left, color=CODE_COLOURS[code])
        left += shares[code].to_numpy()
    _rows(axes, annotators)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlabel("share of labels")


def _bias(axes: Axes, numbers: pd.DataFrame, annotators: list[str]) -> None:
    measured = numbers[numbers["measure"] == "order_bias"].set_index("annotator").loc[annotators]
    axes.axvline(0.5, color=style.FAINT, linewidth=0.7, linestyle=(0, (2, 1.5)))
    for row, (_, bias) in enumerate(measured.iterrows()):
        axes.plot([bias["low"], bias["high"]], [row, row], color=style.INK, linewidth=1.3)
        axes.plot(bias["value"], row, "o", color=style.INK, clip_on=False)
    _rows(axes, annotators)
    axes.set_yticklabels([])
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlabel("first preferred")


def _agreement(axes: Axes, numbers: pd.DataFrame, annotators: list[str]) -> None:
    """A row for each annotator, a column for each that it is compared with: accuracy, and kappa below it."""
    values = numbers[numbers["measure"].isin(["accuracy", "kappa"])].set_index(["measure", "annotator", "other"])["value"]
    names = list(dict.fromkeys([*annotators, *numbers.loc[numbers["measure"] == "accuracy", "other"]]))
    shown = [name for name in names if name in set(numbers.loc[numbers["measure"] == "accuracy", "other"])]
    cells = np.full((len(annotators), len(shown)), np.nan)
    for row, name in enumerate(annotators):
        for column, other in enumerate(shown):
            if ("accuracy", name, other) in values.index:
                share, kappa = values["accuracy", name, other], values["kappa", name, other]
                cells[row, column] = share
                kappa = "none" if pd.isna(kappa) else f"{round(kappa, 2) + 0.0:.2f}"
                text = "none" if pd.isna(share) else f"{share:.3f}"
                axes.text(column, row, f"{text}\n\u03ba {kappa}", ha="center", va="center", fontsize=6, color=style.INK)
    axes.imshow(cells, cmap="Blues", vmin=0.5, vmax=1.6, aspect="auto")
    _rows(axes, annotators)
    axes.set_yticklabels([])
    axes.set_xticks(range(len(shown)), [name.replace("_", "\n") for name in shown], rotation=90 if len(shown) > MOST_UPRIGHT else 0)
    axes.tick_params(axis="x", length=0)
    axes.spines[:].set_visible(False)


def _learning(axes: Axes, numbers: pd.DataFrame, colours: dict[str, str]) -> None:
    for name, colour in colours.items():
        own = numbers[numbers["annotator"] == name]
        for measure, line in (("held_out_oracle", "-"), ("held_out", (0, (2, 1.5)))):
            part = own[own["measure"] == measure].sort_values("count")
            axes.plot(part["count"], part["value"], color=colour, linestyle=line, marker="o" if line == "-" else None)
            if line == "-":
                axes.vlines(part["count"], part["low"], part["high"], color=colour, linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.count(value)))
    axes.set_xlabel("labels learned from")
    axes.set_ylabel("accuracy")
    lowest = numbers.loc[numbers["measure"].str.startswith("held_out"), "low"].min()
    axes.set_ylim(max(min(lowest, 0.5) - 0.02, 0), 1.02)


def _legend(row: np.ndarray, colours: dict[str, str]) -> None:
    """What colours and lines mean, in the empty panels beside the published labels."""
    codes = [Patch(color=CODE_COLOURS[code], label=code) for code in CODES]
    lines = [Line2D([], [], color=colour, marker="o", label=name.replace("_", " ")) for name, colour in colours.items()]
    lines += [
        Line2D([], [], color=style.FAINT, linestyle="-", marker="o", label="by the oracle"),
        Line2D([], [], color=style.FAINT, linestyle=(0, (2, 1.5)), label="by its own labels"),
    ]
    for axes, handles, title, columns in ((row[2], codes, "labels", 2), (row[3], lines, "reward model", 1)):
        legend = axes.legend(handles=handles, loc="upper left", title=title, alignment="left", ncols=columns, bbox_to_anchor=(0, 1.2))
        legend.set_in_layout(False)


def _caption(study: Study, numbers: pd.DataFrame) -> str:
    parts = []
    for environment in study.environments:
        own = numbers[(numbers["environment"] == environment) & (numbers["measure"] == "swap_consistency") & (numbers["count"] > 0)]
        told = [f"{row.annotator.replace('_', ' ')} {row.value:.1%} of {row.count:,.0f}" for row in own.itertuples()]
        if told:
            parts.append(f"{study.settings[environment].environment.title}: {listing(told)}")
    consistency = f" Same answer in both orders, of pairs asked in both: {'; '.join(parts)}." if parts else ""
    return (
        "Labels of each annotator. Order bias: share of clear answers that prefer the first picture shown, half without bias, with its "
        "95 % Wilson interval; of the published labels, the share of clear ones that are `first`. Agreement: accuracy on pairs clear to "
        "both, and Cohen's kappa over all four codes. Reward model: accuracy on the same held-out pairs after learning from 1 %, 10 % and "
        f"all of the other labels, one model each, lines are 95 % Wilson intervals.{consistency}"
    )
