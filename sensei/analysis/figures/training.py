"""What runs log while they explore, over steps: losses, rewards, entropy; and the logs of the published replication."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from sensei.analysis import published, style
from sensei.analysis.figures import captions
from sensei.analysis.figures.contract import Figure
from sensei.analysis.inputs import Inputs
from sensei.analysis.scores import Run, explored_run, missing_runs, present
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout, RunFiles
from sensei.study.models.study import Study

EXPLORE_SHARE = "share of imagined states in explore"  # panel
OF_MEANING = {"semantic head's loss", "semantic reward, imagined"}  # panels of those who follow a reward model; others have an idle head
OURS = {  # panel -> what metrics.jsonl calls it
    "image loss": "loss/image",
    "KL of posterior and prior": "model/kl",
    "semantic head's loss": "loss/semantic",
    "disagreement, imagined": "explore/disagreement_reward",
    "semantic reward, imagined": "explore/semantic_reward",
    "entropy of the policy": "explore/entropy",
    EXPLORE_SHARE: "explore/explore_share",
}
_OBJECTS = {"upright block": "upright_block", "flat block": "flat_block", "ball": "ball", "drawer": "drawer_joint"}
_OBJECTS |= {"sliding cabinet": "slide_joint", **{f"{colour} button": f"{colour}_button" for colour in ("red", "green", "blue")}}
LOGGED = {  # drawing -> panel -> what the replication's log calls it
    "training_losses": {
        "image loss": "train/image_loss_mean",
        "KL of posterior and prior": "train/dyn_loss_mean",
        "KL, representation": "train/rep_loss_mean",
        "model's whole loss": "train/model_loss_mean",
        "semantic head's loss": "train/motif_reward_loss_mean",
        "disagreement, imagined": "train/expl_disag_reward_mean",
        "semantic reward, imagined": "train/expl_vlm_reward_reward_mean",
        "entropy of the policy": "train/expl_policy_entropy_mean",
    },
    "training_episodes": {"semantic reward": "train_stats/mean_motif_reward"}
    | {name: f"train_stats/sum_rew_interaction_{logged}" for name, logged in _OBJECTS.items()},
    "training_evaluations": {"semantic reward": "eval_stats/mean_motif_reward"}
    | {name: f"eval_stats/sum_rew_interaction_{logged}" for name, logged in _OBJECTS.items()},
    "training_speed": {
        "frames a second": "fps",
        "seconds an update": "timer/agent.train_avg",
        "seconds a step of all environments": "timer/env.step_avg",
        "seconds a sample of the replay": "timer/replay._sample_avg",
        "seconds an action": "timer/agent.policy_avg",
    },
}
WHATS = {
    "training_losses": "losses, rewards and entropy at each update",
    "training_episodes": "an episode of training: mean semantic reward, and steps at which an object moves",
    "training_evaluations": "an episode of evaluation: mean semantic reward, and steps at which an object moves",
    "training_speed": "speed; the first values of a timer include compilation",
}
BINS = 50
ACROSS = 3
LEAST = {"semantic reward": 1.0, "semantic reward, imagined": 1.0}  # of the axis: a difference of 1 is a preference of 73 %
SETTLING = 5  # parts; only of curves with more is the first one cut off
X_LABEL = "agent steps"
AXES = "no bands. Long curves have the axes of all parts but the first, in which losses of an untrained model fall."


class Training(Figure):
    """One panel a quantity: thin lines are runs, thick ones their mean; both are means over fiftieths of the longest run."""

    title = "what exploring runs log over steps"
    published = tuple(LOGGED)
    phases = ("explore",)

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """The metrics of every exploration run."""
        return {"metrics": [explored_run(study, layout, *run).metrics for run in present(study, layout)[0]]}

    def load(self, study: Study, inputs: Inputs) -> pd.DataFrame:
        """Columns environment, name (of the method), run (its seed), step, panel, value.

        Raises:
            SenseiError: a file is missing or damaged, named.
        """
        tables = []
        for path in inputs["metrics"]:
            environment, method, seed = RunFiles(path.parent).explored
            logged = _read(path)
            for panel, metric in OURS.items():
                if metric in logged and (panel not in OF_MEANING or study.methods[method].needs_reward_model):
                    table = pd.DataFrame({"step": logged["step"], "value": logged[metric]}).dropna()
                    tables.append(table.assign(environment=environment, name=method, run=seed, panel=panel))
        if not tables:
            raise SenseiError("figure training: no run of the study logs losses", hint="remove training from `figures`")
        return pd.concat(tables, ignore_index=True)

    def missing(self, study: Study, data: pd.DataFrame) -> list[Run]:
        """Exploration runs that log something in some other seed, and have no log."""
        table = data.rename(columns={"name": "method", "run": "seed"})
        logging = set(zip(table["environment"], table["method"], strict=True))
        lacking = missing_runs(study, table[["environment", "method", "seed"]], self.phases)
        return [run for run in lacking if (run.environment, run.method) in logging]

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """A block of panels for each environment; quantities that no run there has are left out."""
        names = {name: method.title for name, method in study.methods.items()}
        colours = {name: style.colour(name) for name in style.ordered(data["name"])}
        data = data.sort_values("panel", key=lambda panels: panels.map(list(OURS).index), kind="stable")
        numbers = pd.concat(binned(data[data["environment"] == name]).assign(environment=name) for name in data["environment"].unique())
        prefix = {name: f"{study.settings[name].environment.title}: " if len(study.environments) > 1 else "" for name in study.environments}
        numbers["panel"] = numbers["environment"].map(prefix) + numbers["panel"]
        caption = (
            f"What exploring runs log, over agent steps: {captions.seeds(study)}. Thin lines are runs, thick ones their mean, both "
            f"averaged over {BINS}ths of the longest run; {AXES}"
        )
        return Drawing(_drawn(numbers, names, colours), numbers, caption + captions.gates(study, study.explore))

    def draw_published(self, number: str) -> Drawing:
        """One of the four groups of the replication's log."""
        titles, panels = published.titles(), {metric: panel for panel, metric in LOGGED[number].items()}
        table = published.training_metrics().query("metric in @panels")
        table = table.sort_values("metric", key=lambda metrics: metrics.map(list(panels).index), kind="stable")
        numbers = binned(table.assign(panel=table["metric"].map(panels), name=table["annotator"]))
        names = {name: titles[name] for name in numbers["name"].unique()}
        runs = table.groupby("annotator")["run"].nunique().max()
        caption = (
            f"Log of the published replication on Robodesk (exact), over agent steps, {captions.number(int(runs), 'run')} with the labels "
            f"of each annotator: {WHATS[number]}. Thin lines are runs, thick ones their mean, both averaged over {BINS}ths of the longest "
            f"run; {AXES}"
        )
        return Drawing(_drawn(numbers, names, style.colours_of(names)), numbers, caption)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.DataFrame([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
    except FileNotFoundError as error:
        raise SenseiError(f"there is no {path}", hint="run the stage `explore` first") from error
    except ValueError as error:
        raise SenseiError(f"{path} is damaged", found=error, hint=f"delete {path.parent} and run again") from error


def binned(table: pd.DataFrame) -> pd.DataFrame:
    """Means over `BINS` equal parts of the steps: columns panel, name, run (None: the mean over runs), step (middle of the part), value.

    The mean over runs is there where all of them are.
    """
    width = max(table["step"].max() / BINS, 1)
    parts = (table["step"] / width).astype(int).clip(upper=BINS - 1)
    runs = table.assign(step=(parts + 0.5) * width).groupby(["panel", "name", "run", "step"], sort=False)["value"].mean().reset_index()
    means = runs.groupby(["panel", "name", "step"], sort=False)["value"].agg(["mean", "size"]).reset_index()
    whole = means["size"] == means.groupby(["panel", "name"])["size"].transform("max")  # else a run that ends bends the mean of the others
    means = means[whole].rename(columns={"mean": "value"})
    return pd.concat([means, runs], ignore_index=True)[["panel", "name", "run", "step", "value"]]


def _drawn(numbers: pd.DataFrame, names: dict[str, str], colours: dict[str, str]) -> object:
    from matplotlib.lines import Line2D

    panels = list(dict.fromkeys(numbers["panel"]))  # in the order of `OURS` or `LOGGED`
    lines = -(-len(panels) // ACROSS)
    figure = style.figure(style.FULL_WIDTH, 1.35 * lines + 0.43)
    figure.supxlabel(X_LABEL, fontsize="medium")
    grid = list(figure.subplots(lines, ACROSS, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        for (name, run), line in numbers[numbers["panel"] == panel].groupby(["name", "run"], sort=False, dropna=False):
            look = {"linewidth": 1.2} if pd.isna(run) else {"linewidth": 0.4, "alpha": 0.5}
            axes.plot(line["step"], line["value"], color=colours[name], **look)
        shown = numbers[numbers["panel"] == panel]
        if shown["step"].nunique() > SETTLING:
            shown = shown[shown["step"] > numbers["step"].min()]
        low, high = shown["value"].agg(["min", "max"])
        low, high = min(0, 1.05 * low), 1.05 * high if high > 0 else 1
        axes.set_ylim(low, max(high, low + LEAST.get(panel.rpartition(": ")[2], 0)))
        axes.set_title(style.wrapped(panel, style.FULL_WIDTH / ACROSS - 0.4, "axes.titlesize"))
        style.count_axis(axes.xaxis, 4)
        style.count_axis(axes.yaxis, 4)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    handles = [Line2D([], [], color=colour, label=names[name]) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5))
    return figure
