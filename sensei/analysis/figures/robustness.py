"""How far outcomes spread over settings: fixed weights of the two rewards against the switch (paper Figs. 19 and 20, Table 1)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sensei.analysis import published, statistics, style
from sensei.analysis.figures import captions
from sensei.analysis.figures.contract import Figure
from sensei.analysis.scores import counts, interactions
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.envs.registry import family
from sensei.study.models.study import Study

FIXED, SWITCH = "pairs of fixed weights", "settings of the switch"
LOOKS = {FIXED: (style.FAINT, "s"), SWITCH: (style.colour("sensei"), "o")}
ALL = "mean of all"
COLUMNS = ["panel", "environment", "source", "metric", "settings", "methods", "seeds", "steps", "value", "low", "high"]
LINE_INCHES, BESIDE_INCHES = 0.27, 0.95
WHAT = (
    "a method's outcome is its mean over seeds; their spread over settings is the standard deviation over the mean, with what seeds differ "
    "by taken out, so 0 is: the setting does not matter"
)


class Robustness(Figure):
    """For every kind of interaction the spread of its totals over settings of either kind, with intervals; and the mean of all kinds."""

    title = "spread of the outcome over settings: fixed weights against the switch (paper Figs. 19, 20)"
    published = ("robustness",)
    phases = ("explore",)

    def check(self, study: Study) -> None:
        """That the study has two settings of either kind."""
        if lacking := [kind for kind, methods in _settings(study).items() if len(methods) < 2]:
            raise SenseiError(
                f"figure {self.name} compares settings, and the study has fewer than two {lacking[0]}",
                found=", ".join(study.explore),
                expected="two methods with a gate and two that weigh the semantic reward and another without, in `explore`",
            )

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel for each environment, and one of the published values of it, if there are any.

        Raises:
            SenseiError: nothing was counted.
        """
        groups, tables = _settings(study), []
        for environment in study.environments:
            config = study.settings[environment].environment
            tables.append(_spreads(_measured(study, data, environment, groups), config.title, environment, "ours"))
            if family(config).published_name(config) == "robodesk":
                tables.append(_published())
        found = pd.concat(tables)
        if found.empty:
            raise SenseiError(f"figure {self.name}: nothing was counted in any run", hint=f"remove {self.name} from `figures`")
        text = f"How much outcomes depend on the setting, totals over an exploration run: {WHAT}. {captions.seeds(study)}"
        return _drawn(found, text + captions.gates(study, groups[SWITCH][:1]))

    def draw_published(self, number: str) -> Drawing:
        """Of the paper's bars."""
        text = (
            f"Computed from published values (paper Figs. 19 and 20, read off the figures), totals over an exploration run: {WHAT}. The "
            "pairs lie further apart (a factor of 100 between the ratios of the two weights) than the settings of the switch (Table 1)"
        )
        return _drawn(_published(), text)


def _settings(study: Study) -> dict[str, list[str]]:
    """Kind of setting -> the methods of the study that have one."""
    return {
        FIXED: [name for name in study.explore if study.methods[name].weighs_always_alike],
        SWITCH: [name for name in study.explore if study.methods[name].gate != "none"],
    }


def _measured(study: Study, scores: pd.DataFrame, environment: str, groups: dict[str, list[str]]) -> pd.DataFrame:
    """Columns settings, metric, mean, error (standard error, divisor n - 1; NaN of a single run), seeds and steps: a row a method."""
    rows = []
    for metric, events in interactions(study.settings[environment].environment).items():
        for settings, methods in groups.items():
            runs = [counts(scores, environment, method, events) for method in methods]
            rows += [
                {
                    "settings": settings,
                    "metric": metric,
                    "mean": run["value"].mean(),
                    "error": run["value"].sem(),
                    "seeds": len(run),
                    "steps": run["step"].max(),
                }
                for run in runs
                if len(run)
            ]
    return pd.DataFrame(rows)


def _published() -> pd.DataFrame:
    """The spreads of the paper's bars; an error too small to read counts as none."""
    switched = published.gate_settings()["method"]
    tables = []
    for settings, number, wanted in ((FIXED, 19, lambda name: name.startswith("fixed")), (SWITCH, 20, set(switched).__contains__)):
        bars = published.bars(number)
        bars = bars[bars["method"].map(wanted)]
        assert set(bars["error_kind"]) <= {"standard_deviation", "none"}
        error = bars["error"].fillna(0) / np.sqrt(bars["seeds"] - 1)  # of a standard deviation with divisor n
        tables.append(bars[["metric", "mean", "seeds", "steps"]].assign(settings=settings, error=error))
    return _spreads(pd.concat(tables), f"{published.titles()['robodesk']}, published", "robodesk", "published")


def _spreads(bars: pd.DataFrame, title: str, environment: str, source: str) -> pd.DataFrame:
    """The numbers of a panel: a row a kind of interaction and kind of settings, then those of the mean, and how much these differ.

    A kind of interaction that happened under none of the settings of a kind has no spread there, and is left out.
    """
    level = bars.pivot_table(index="metric", columns="settings", values="mean", sort=False).reindex(columns=[FIXED, SWITCH])
    metrics = list(level.index[(level > 0).all(axis=1)])
    rows, means = [], {}
    for settings in (FIXED, SWITCH) if metrics else ():
        group = bars[bars["settings"] == settings].set_index("metric")
        value, error = (np.array([group.loc[metric, column] for metric in metrics]) for column in ("mean", "error"))
        spread = statistics.relative_spread(value, np.nan_to_num(error**2).mean(axis=-1))
        drawn = statistics.resampled_spread(value, error, generator(0, "robustness", environment, source, settings))
        same = {"settings": settings, "methods": value.shape[1], "seeds": group["seeds"].max(), "steps": group["steps"].max()}
        means[settings] = spread.mean(), drawn.mean(axis=1), same
        rows += [_row(metric, spread[index], drawn[:, index], same) for index, metric in enumerate(metrics)]
        rows.append(_row(ALL, *means[settings]))
    if rows:
        (fixed, fixed_drawn, same), (switch, switch_drawn, _) = means[FIXED], means[SWITCH]
        rows.append(_row(ALL, fixed - switch, fixed_drawn - switch_drawn, same | {"settings": "difference", "methods": None}))
        title += f": {style.count(same['steps'])} steps, {captions.number(int(same['seeds']), 'seed')}"
    return pd.DataFrame(rows).assign(panel=title, environment=environment, source=source).reindex(columns=COLUMNS)


def _row(metric: str, value: float, drawn: np.ndarray, same: dict) -> dict:
    low, high = statistics.middle(drawn)
    return {"metric": metric, **same, "value": value, "low": low, "high": high}


def _drawn(table: pd.DataFrame, text: str) -> Drawing:
    """Panels below each other, a line for each kind of interaction."""
    panels = [(title, numbers) for title, numbers in table.groupby("panel", sort=False)]
    heights = [LINE_INCHES * numbers["metric"].nunique() + 0.5 for _, numbers in panels]
    figure = style.figure(style.COLUMN_WIDTH, sum(heights) + 0.3)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, numbers) in zip(grid, panels, strict=True):
        _panel(axes, title, numbers[numbers["settings"] != "difference"])
    handles = [axes.plot([], [], color=colour, marker=marker, label=settings)[0] for settings, (colour, marker) in LOOKS.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    said = (
        "; lines are 95 % intervals." if table["low"].notna().any() else "; one seed, so no intervals, and what seeds differ by is in it."
    )
    return Drawing(figure, table, text + said + "".join(map(_finding, panels)))


def _panel(axes, title: str, numbers: pd.DataFrame) -> None:
    metrics = [ALL, *(metric for metric in numbers["metric"].unique() if metric != ALL)]
    for offset, (settings, (colour, marker)) in zip((-0.14, 0.14), LOOKS.items(), strict=True):
        rows = numbers[numbers["settings"] == settings].set_index("metric").loc[metrics]
        places = np.arange(len(metrics)) + offset
        axes.hlines(places, rows["low"], rows["high"], color=colour, linewidth=1.2)
        axes.plot(rows["value"], places, marker, color=colour, clip_on=False, zorder=4)
    axes.axhline(0.5, color=style.FAINT, linewidth=0.4)
    axes.set_yticks(range(len(metrics)), [metric.replace("_", " ") for metric in metrics])
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(metrics) - 0.5, -0.5), xlim=(0, 1.04 * max(1, numbers[["value", "high"]].max(axis=None))))
    axes.set(xlabel="spread over settings (SD / mean)", title=style.wrapped(title, style.COLUMN_WIDTH - BESIDE_INCHES, "axes.titlesize"))


def _finding(panel: tuple[str, pd.DataFrame]) -> str:
    """The mean spread of both kinds of settings and their difference, as a sentence computed from the numbers drawn."""
    title, numbers = panel
    rows = numbers[numbers["metric"] == ALL].set_index("settings")
    told = []
    for name, row in rows.iterrows():
        interval = "" if np.isnan(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]"
        told.append(f"{name if np.isnan(row['methods']) else f'{row.methods:.0f} {name}'} {row['value']:.2f}{interval}")
    return f" {title.partition(':')[0]}, mean of all kinds: {'; '.join(told)}."
