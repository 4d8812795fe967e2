"""Semantic reward along one episode, with the pictures at its events above the curve (paper Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sensei.analysis import style
from sensei.analysis.cards import read_reward_card, read_table
from sensei.analysis.figures import captions
from sensei.analysis.figures.contract import Figure
from sensei.analysis.inputs import Inputs
from sensei.analysis.scores import interactions
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.core.files import sha256
from sensei.replay.episodes import episode_name, load_episode
from sensei.study.layout import CollectionFiles, Layout, RunFiles
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

KEYS = ("annotator_image", "flags", "events", "event_names", "state", "state_names")
ROW_INCHES = 2.7
LEAST_SPAN = 1.0  # of the axis: a difference of 1 is a preference of 73 %, and no less is worth a panel's height
LARGEST_PICTURES = 7
SMALL = 0.1  # of the axis: a reward that changes less is called flat


@dataclass(frozen=True)
class EpisodeReward:
    """One episode and its semantic reward."""

    environment: str
    name: str  # which episode it is, for the caption
    images: np.ndarray  # uint8 [T, h, w, 3]
    rewards: np.ndarray  # float32 [T], raw output of the reward model
    marks: dict[int, str]  # step -> what happened there, in order
    scale: tuple[float, float] = (0.0, 0.0)  # between which most rewards of held-out frames lie
    others: dict[str, np.ndarray] = field(default_factory=dict)  # name of another reward model -> its rewards, float32 [T]


class SemanticReward(Figure):
    """One row per environment: pictures at the marked steps above the curve of the raw semantic reward.

    The episode is the one with the most different events, of the data that the pairs came from.
    """

    title = "semantic reward along one episode, with screenshots (paper Fig. 4)"
    draws_labels = True
    draws_states = True

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """Per environment the first annotator's reward model, the events of the collecting run and the index of its episodes."""
        models = [layout.reward(name, study.annotators_of(name)[0], self.generation(study, name)) for name in study.environments]
        watched = [self.watched(study, layout, name) for name in study.environments]
        return {
            "cards": [model.card for model in models],
            "models": [model.model for model in models],
            "events": [run.events for run, _ in watched],
            "indices": [collection.index for _, collection in watched],
        }

    def generation(self, study: Study, environment: str) -> int:
        """Whose reward model is drawn, and of whose data the episode is."""
        return 1

    def compared(self, study: Study, inputs: Inputs, environment: str) -> dict[str, Path]:
        """Name of a further reward model -> its file, of those drawn beside it."""
        return {}

    def watched(self, study: Study, layout: Layout, environment: str) -> tuple[RunFiles, CollectionFiles]:
        """The run of which an episode is drawn, and its episodes."""
        generation, seed = self.generation(study, environment), _seed(study, environment)
        run = layout.explore(environment, study.collector_of(generation), seed, max(1, generation - 1))
        return run, layout.collect(environment, seed, generation)

    def folders(self, study: Study, layout: Layout) -> dict[Path, Path]:
        """The episodes, of which the events say which one is drawn, and the index what it contains."""
        collections = [self.watched(study, layout, name)[1] for name in study.environments]
        return {collection.episodes: collection.index for collection in collections}

    def within(self, study: Study, inputs: Inputs) -> list[Path]:
        """The chosen episodes."""
        runs = zip(study.environments, inputs["events"], inputs["indices"], strict=True)
        return [indexed(index, _chosen(study, environment, run)) for environment, run, index in runs]

    def load(self, study: Study, inputs: Inputs) -> list[EpisodeReward]:
        """Per environment the chosen episode, scored.

        Raises:
            SenseiError: an input is missing or damaged, named.
        """
        from sensei.reward.scorer import RewardScorer

        rows = []
        files = zip(study.environments, inputs["models"], inputs["cards"], inputs["events"], inputs["indices"], strict=True)
        for environment, model, card, run, index in files:
            settings = study.settings[environment].environment
            chosen = _chosen(study, environment, run)
            episode = with_pictures(load_episode(indexed(index, chosen), KEYS), settings)
            method = study.methods[study.collector_of(self.generation(study, environment))]
            name = f"{chosen} of {method.title}, seed {_seed(study, environment)}"
            scale = read_reward_card(card)["scale"]
            row = score(environment, name, episode, RewardScorer.load(model), _events(settings))
            scorers = {name: RewardScorer.load(path) for name, path in self.compared(study, inputs, environment).items()}
            others = {name: scorer(episode["annotator_image"], episode["flags"]) for name, scorer in scorers.items()}
            rows.append(replace(row, scale=(scale["low"], scale["high"]), others=others))
        return rows

    def draw(self, study: Study, data: list[EpisodeReward]) -> Drawing:
        """A row of pictures and a curve for each episode."""
        figure = style.figure(style.FULL_WIDTH, ROW_INCHES * len(data))
        for part, row in zip(np.atleast_1d(figure.subfigures(len(data), 1)), data, strict=True):
            _row(part, row, study.settings[row.environment].environment.title)
        numbers = [
            pd.DataFrame({"environment": row.environment, "step": np.arange(len(row.rewards)), "semantic_reward": row.rewards}).assign(
                **row.others, mark=lambda table, marks=row.marks: table["step"].map(marks).str.replace("\n", " ")
            )
            for row in data
        ]
        return Drawing(figure, pd.concat(numbers, ignore_index=True), _caption(study, data))


def _seed(study: Study, environment: str) -> int:
    """The run of the collector whose episode is drawn."""
    return study.settings[environment].pairs.seeds[0]


def _events(environment: EnvironmentConfig) -> list[str]:
    """What is marked, and what the choice of an episode goes by."""
    return [event for parts in interactions(environment).values() for event in parts]


def _chosen(study: Study, environment: str, run: Path) -> str:
    """The episode that is drawn, from the events of the collecting run."""
    return choose(read_table(run, "explore"), _events(study.settings[environment].environment))


def indexed(index: Path, name: str) -> Path:
    """The file of episode `name`, which the index of its collection names with its content.

    Raises:
        SenseiError: the index is damaged, or its episode is another file by now.
    """
    path, table = CollectionFiles(index.parent).episodes / name, read_table(index, "collect").set_index("file")["sha256"]
    if path.exists() and table.get(name) != sha256(path):
        raise SenseiError(f"episode {path} is not the one that {index} names", hint=f"delete {index} and run again")
    return path


def with_pictures(episode: dict[str, np.ndarray], environment: EnvironmentConfig) -> dict[str, np.ndarray]:
    """`episode` with `annotator_image`, drawn again from its states where they were not kept."""
    if "annotator_image" in episode:
        return episode
    from sensei.envs.redraw import draw_states

    pictures = draw_states(environment, episode["state"], episode["state_names"].tolist())
    return episode | {"annotator_image": np.stack(list(pictures))}


def choose(episodes: pd.DataFrame, events: list[str]) -> str:
    """File name of the episode with the most different events; of several a finished one, the shortest, the first.

    Args:
        episodes: `events.parquet` of the collecting run.

    Raises:
        SenseiError: no episode has a step.
    """
    begun = episodes[episodes["length"] > 0]
    if begun.empty:
        raise SenseiError("figure semantic_reward: the collecting run has no episode with a step", hint="raise `training.explore_steps`")
    keys = {"different": -(begun[events] > 0).sum(axis=1), "cut": ~begun["finished"]}
    best = begun.assign(**keys).sort_values(["different", "cut", "length", "worker", "episode"]).iloc[0]
    return episode_name(int(best["worker"]), int(best["episode"]))


def score(environment: str, name: str, episode: dict[str, np.ndarray], scorer: Callable, events: list[str]) -> EpisodeReward:
    """Score an episode and mark its start, the first time of each of `events`, and its end.

    Args:
        episode: arrays `annotator_image` uint8 [T, h, w, 3], `flags` [T, n], `events` [T, E], `event_names` [E].
        scorer: (images, flags) -> float32 [T].
    """
    rewards = np.asarray(scorer(episode["annotator_image"], episode["flags"]))
    marks = {0: ["start"]}
    names = list(episode["event_names"])
    for event in events:
        times = np.flatnonzero(episode["events"][:, names.index(event)] > 0)
        if len(times):
            marks.setdefault(int(times[0]), []).append(event.replace("_", " "))
    marks.setdefault(len(rewards) - 1, []).append("end")
    if len(marks) > LARGEST_PICTURES:  # the last ones before the end go
        kept = sorted(marks)
        marks = {step: marks[step] for step in [*kept[: LARGEST_PICTURES - 1], kept[-1]]}
    return EpisodeReward(environment, name, episode["annotator_image"], rewards, {step: ",\n".join(marks[step]) for step in sorted(marks)})


def _row(part: SubFigure, row: EpisodeReward, title: str) -> None:
    from matplotlib.patches import ConnectionPatch

    part.suptitle(title, x=0.01, ha="left", fontsize="medium", fontweight="bold")
    steps = list(row.marks)
    grid = part.add_gridspec(3, len(steps), height_ratios=[1.0, 0.2, 0.95])  # the middle row holds the lines from pictures to curve
    curve = part.add_subplot(grid[2, :])
    _curve(curve, row)
    for index, step in enumerate(steps):
        axes = part.add_subplot(grid[0, index])
        axes.imshow(row.images[step], interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(True)
        axes.set_title(f"{row.marks[step]}\nt = {step}", loc="center", fontsize="small")
        line = ConnectionPatch(
            (0.5, 0), (step, 1), axes.transAxes, curve.get_xaxis_transform(), color=style.FAINT, linewidth=0.6, linestyle=":"
        )
        line.set_in_layout(False)
        part.add_artist(line)


def _curve(axes: Axes, row: EpisodeReward) -> None:
    import seaborn as sns

    steps = list(row.marks)
    label = "last reward model" if row.others else None
    sns.lineplot(x=np.arange(len(row.rewards)), y=row.rewards, color=style.colour("sensei"), errorbar=None, ax=axes, label=label)
    for name, rewards in row.others.items():
        axes.plot(rewards, color=style.colour("sensei_generation1"), linestyle=style.DASHES, linewidth=0.9, label=name.replace("_", " "))
    for step in steps:
        axes.axvline(step, color=style.FAINT, linewidth=0.6, linestyle=":")
    sns.scatterplot(x=steps, y=row.rewards[steps], color=style.INK, s=8, linewidth=0, zorder=3, ax=axes)
    axes.set(xlabel="step t of the episode", ylabel="semantic reward")
    last = len(row.rewards) - 1
    axes.set_xlim(-0.01 * last, 1.01 * last)
    low, high = span(row)
    axes.set_ylim(low - 0.12 * (high - low), high + 0.12 * (high - low))


def span(row: EpisodeReward) -> tuple[float, float]:
    """Lowest and highest reward that the axis has room for: the episode's, those of most held-out frames, and at least `LEAST_SPAN`."""
    drawn = np.concatenate([row.rewards, *row.others.values()])
    low, high = min(drawn.min(), row.scale[0]), max(drawn.max(), row.scale[1])
    short = max(LEAST_SPAN - (high - low), 0)
    return float(low - short / 2), float(high + short / 2)


def peak(row: EpisodeReward) -> str:
    """Where along the episode the reward is highest, in words: at a mark, or between which two."""
    highest, flat = int(row.rewards.argmax()), np.ptp(row.rewards) < SMALL * (span(row)[1] - span(row)[0])
    if flat:
        return "hardly changes"
    steps = list(row.marks)
    told = {step: row.marks[step].replace("\n", " ") for step in steps}
    after = max(step for step in steps if step <= highest)
    before = min(step for step in steps if step >= highest)
    where = f"at {told[after]}" if after == before else f"between {told[after]} (t = {after}) and {told[before]} (t = {before})"
    return f"is highest ({row.rewards[highest]:.2f}) at t = {highest}, {where}"


def _caption(study: Study, rows: list[EpisodeReward]) -> str:
    parts = [
        f"{study.settings[row.environment].environment.title}: {row.name}, {captions.number(len(row.rewards), 'step')}; "
        f"the reward {peak(row)}"
        for row in rows
    ]
    names = dict.fromkeys(study.annotators_of(row.environment)[0].replace("_", " ") for row in rows)
    annotators = f"annotator{'' if len(names) == 1 else 's'} {captions.listing(list(names))}"
    return (
        f"Semantic reward along one episode per environment: {'; '.join(parts)}. Raw output of the reward model trained on the labels of "
        f"{annotators}. The episode is the one with the most different events. Pictures are what the "
        "annotator and the reward model see at the dotted steps: start, the first time of each event, end. One episode, no band; its "
        "frames belong to the data that the pairs were drawn from. The axis has room for the middle 90 % of the rewards of held-out "
        "frames, and for a difference of 1 at least (a preference of 73 %)."
    )
