"""Which frames are compared, and how pairs and their frames are stored."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from sensei.core.errors import SenseiError
from sensei.core.files import atomic
from sensei.core.progress import progress
from sensei.core.rng import generator
from sensei.envs.redraw import draw_states
from sensei.envs.registry import family
from sensei.preferences.frames import Pictures, save_frames
from sensei.preferences.tables import SIDES, STATE
from sensei.replay import brought
from sensei.replay.episodes import load_episode
from sensei.study.layout import CollectionFiles
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.preferences import PairsConfig

Item = TypeVar("Item")
PIECE = 250  # steps, as in the released code
KEPT_VIEW = "default"  # name of the only view of environments whose pictures are kept


def make_pairs(
    collections: dict[int, Path],
    config: PairsConfig,
    seed: int,
    pairs_path: str | Path,
    frames_path: str | Path,
    environment: EnvironmentConfig | None = None,
    processes: int = 1,
) -> pd.DataFrame:
    """Draw pairs of frames, in random order, and write what an annotator and the reward model need of them.

    As in the released code. Random pairs: both times are uniform and no pair, in whichever order, occurs twice. The released code takes
    the sides from two different pieces of 250 steps; here they are from two different episodes or, if there is but one, from two different
    pieces of it. Contrastive pairs: one side is very good and one very bad, each state at most once.

    Args:
        collections: exploration seed -> folder that `sensei.replay.episodes.collect` wrote.
        config: how many pairs, and of which kind.
        seed: of the draw.
        pairs_path: parquet, one row a pair: pair (0, 1, ...) and, for either side with prefix `first_` or `second_`: frame (row in the
            frames file), seed, file, episode (number in the index of all collections), time, and `state_{key}` for each state key.
        frames_path: the file of `save_frames`. Frames that are alike (same image, same flags) are stored once.
        environment: whose family says which states contrastive pairs are made of, and draws the frames from all its views, where
            episodes hold states in place of pictures.
        processes: that draw side by side.

    Returns:
        The table of pairs.

    Raises:
        SenseiError: the episodes offer fewer pairs than asked for, or one is damaged, or collections do not match.
    """
    redrawn = environment is not None and family(environment).renders_states
    return _pair(_index(collections), config, seed, pairs_path, frames_path, environment, processes, _Reading(load_episode, redrawn))


def pair_brought(
    folder: str | Path,
    config: PairsConfig,
    seed: int,
    pairs_path: str | Path,
    frames_path: str | Path,
    environment: EnvironmentConfig,
    processes: int = 1,
) -> pd.DataFrame:
    """As `make_pairs`, of a folder of episodes that people bring (`sensei.replay.brought`); `seed` in the table is the first of `config`.

    Raises:
        SenseiError: as `make_pairs`, or the episodes do not fit the environment.
    """
    fitting, episodes = brought_fit(Path(folder), environment), brought.index(Path(folder)).assign(seed=config.seeds[0])
    reading = _Reading(brought.load, family(environment).renders_states and bool(fitting.state))
    return _pair(episodes, config, seed, pairs_path, frames_path, environment, processes, reading)


def brought_fit(folder: Path, environment: EnvironmentConfig) -> brought.Sample:
    """What the first of the episodes that people bring holds, if pictures can be had of it.

    Raises:
        SenseiError: they cannot, or as `sensei.replay.brought.index`.
    """
    found = brought.sample(folder)
    if found.shape is None and not (found.state and family(environment).renders_states):
        expected = "`annotator_image`" + (" or `state`" if family(environment).renders_states else "")
        raise SenseiError(f"episode {found.name} shows no pictures", expected=expected, hint=brought.HINT)
    return found


class _Reading(NamedTuple):
    """How episodes are read: by what function, and whether pictures are drawn from states even where some are kept."""

    load: Callable[[Path, tuple[str, ...]], dict[str, np.ndarray]]
    redrawn: bool


def _pair(
    episodes: pd.DataFrame,
    config: PairsConfig,
    seed: int,
    pairs_path: str | Path,
    frames_path: str | Path,
    environment: EnvironmentConfig | None,
    processes: int,
    reading: _Reading,
) -> pd.DataFrame:
    rng = generator(seed, "pairs")
    if config.kind == "contrastive":
        sides = draw_contrastive(*_extremes(episodes, environment, reading), config.number, rng)
    else:
        sides = draw_pairs(_groups(episodes["steps"].to_numpy()), config.number, rng)
    steps, place = np.unique(sides, return_inverse=True)  # the steps that occur, and where in them each side is
    gallery = _Gallery()
    about = _look_up(episodes, steps, gallery, reading)
    place = place.reshape(sides.shape)
    columns = [about.iloc[place[:, side]].reset_index(drop=True).add_prefix(prefix) for side, prefix in enumerate(SIDES)]
    table = pd.concat([pd.Series(np.arange(len(sides)), name="pair"), *columns], axis=1)
    save_frames(frames_path, gallery.views(environment, processes), np.stack(gallery.flags))
    with atomic(pairs_path) as temporary:
        table.to_parquet(temporary, index=False)
    return table


def draw_pairs(groups: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Uniformly random unordered pairs of steps from different groups, each pair at most once.

    Args:
        groups: int [N], the group of every step; steps of one group stand together.
        number: pairs wanted.
        rng: source of the draw.

    Returns:
        int64 [number, 2], indices of steps; the order of pairs and of the sides is random.

    Raises:
        SenseiError: there are fewer such pairs.
    """
    steps = len(groups)
    begin, end = np.searchsorted(groups, groups, "left"), np.searchsorted(groups, groups, "right")
    until = np.cumsum(steps - (end - begin))  # ordered pairs that start at step 0, ..., i
    available = int(until[-1]) // 2
    if number > available:
        raise SenseiError(
            "there are not enough different pairs of frames",
            found=f"{available} pairs between {len(np.unique(groups))} episodes or pieces of {steps} steps in all",
            expected=f"{number} (`pairs.number`)",
            hint="lower `pairs.number`, add `pairs.seeds`, or raise `training.explore_steps`",
        )
    pairs = np.empty((0, 2), np.int64)
    while len(pairs) < number:
        rank = rng.integers(until[-1], size=number)  # an ordered pair by its rank: first its first step, then how far the second is
        first = np.searchsorted(until, rank, "right")
        second = (end[first] + until[first] - 1 - rank) % steps
        pairs = np.concatenate([pairs, np.stack([first, second], 1)])
        _, earliest = np.unique(pairs.min(1) * steps + pairs.max(1), return_index=True)
        pairs = pairs[np.sort(earliest)]
    return pairs[:number]


def draw_contrastive(good: np.ndarray, bad: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs of a very good and a very bad step, each step at most once.

    Args:
        good, bad: bool [N] of all steps.
        number: pairs wanted.
        rng: source of the draw.

    Returns:
        int64 [number, 2], indices of steps; the order of pairs and of the sides is random.

    Raises:
        SenseiError: there are too few steps of a kind.
    """
    offered = {"very good": np.flatnonzero(good), "very bad": np.flatnonzero(bad)}
    for kind, steps in offered.items():
        if len(steps) < number:
            raise SenseiError(
                f"there are not enough {kind} states for contrastive pairs",
                found=f"{len(steps)} among {len(good)} (very good: {good.sum()}, very bad: {bad.sum()})",
                expected=f"{number} (`pairs.number`)",
                hint="lower `pairs.number`, add `pairs.seeds`, raise `training.explore_steps`, or set `pairs.kind: random`",
            )
    pairs = np.stack([rng.choice(steps, number, replace=False) for steps in offered.values()], 1)
    return rng.permuted(pairs, axis=1)


def _extremes(episodes: pd.DataFrame, environment: EnvironmentConfig, reading: _Reading) -> tuple[np.ndarray, np.ndarray]:
    """Which steps of all episodes are very good and which very bad, two bool [N]."""
    kinds = []
    for path in _followed(episodes["path"], len(episodes), "read states", "episodes"):
        episode = reading.load(path, ("state", "state_names"))
        state = dict(zip(episode["state_names"].tolist(), episode["state"].T, strict=True))
        kinds.append(family(environment).extremes(state))
    good, bad = map(np.concatenate, zip(*kinds, strict=True))
    return good, bad


def _followed(items: Iterable[Item], total: int, title: str, unit: str) -> Iterator[Item]:
    """`items`, with a progress bar."""
    with progress(total, title, unit) as bar:
        for item in items:
            yield item
            bar.update()


def _groups(lengths: np.ndarray) -> np.ndarray:
    """The group of every step, int [N]: its episode, or its piece of 250 steps if there is only one episode."""
    return np.repeat(np.arange(len(lengths)), lengths) if len(lengths) > 1 else np.arange(lengths[0]) // PIECE


def _index(collections: dict[int, Path]) -> pd.DataFrame:
    """The indices of all collections as one table with the columns seed, file, path and steps."""
    parts = []
    for seed, folder in collections.items():
        files = CollectionFiles(Path(folder))
        try:
            part = pd.read_parquet(files.index, columns=["file", "steps"])
        except (OSError, ValueError, KeyError) as error:
            raise SenseiError(f"the index of episodes {files.index} is damaged", found=error, hint="delete it and collect again") from error
        parts.append(part.assign(seed=seed, path=[files.episodes / file for file in part["file"]]))
    return pd.concat(parts, ignore_index=True)


class _Gallery:
    """Collects frames and gives equal ones (same image or, where none is kept, same state, and same flags) the same number."""

    def __init__(self):
        self.images: list[np.ndarray] = []  # or states, to be drawn in the end
        self.flags: list[np.ndarray] = []
        self.state_names: list[str] | None = None  # of the states, if those are what `images` holds
        self._numbers: dict[bytes, int] = {}

    def add(self, image: np.ndarray, flags: np.ndarray) -> int:
        """The number of a frame: `image` uint8 [h, w, 3], or its state float32 [S], and `flags` float32 [n]."""
        number = self._numbers.setdefault(hashlib.blake2b(image.tobytes() + flags.tobytes(), digest_size=16).digest(), len(self.images))
        if number == len(self.images):
            self.images.append(image.copy())  # a view would keep the whole episode in memory
            self.flags.append(flags.copy())
        return number

    def views(self, environment: EnvironmentConfig | None, processes: int) -> Mapping[str, np.ndarray | Pictures]:
        """View -> its pictures: the one that was kept, or every one that `environment` has, drawn while they are written."""
        images = np.stack(self.images)
        if self.state_names is None:
            return {KEPT_VIEW: images}
        assert environment is not None, "episodes without pictures need their environment"
        of, count = family(environment), len(images)
        shape = of.annotator_side, of.annotator_side, 3
        drawn = {name: draw_states(environment, images, self.state_names, name, processes) for name in of.annotator_views}
        return {name: Pictures((count, *shape), _followed(each, count, f"draw {name}", "pictures")) for name, each in drawn.items()}


def _look_up(episodes: pd.DataFrame, steps: np.ndarray, gallery: _Gallery, reading: _Reading) -> pd.DataFrame:
    """One row for each of `steps` (ascending indices into all episodes laid end to end); their frames go into `gallery`."""
    start = (np.cumsum(episodes["steps"]) - episodes["steps"]).to_numpy()
    whose = np.searchsorted(start, steps, "right") - 1
    shape, tables = None, []
    for number in np.unique(whose):
        entry = episodes.loc[number]
        episode = reading.load(entry["path"], ("annotator_image", "flags", "state", "state_names"))
        names = episode["state_names"].tolist()
        kept = None if reading.redrawn else episode.get("annotator_image")
        gallery.state_names = names if kept is None else None
        images = episode["state"] if kept is None else kept
        this = (len(episode["state"]), *images.shape[1:], episode["flags"].shape[1], *names)
        shape = shape or this[1:]
        if this != (entry["steps"], *shape):
            raise SenseiError(
                f"episode {entry['path']} is not like the others or its index", hint="collect again, or correct what you brought"
            )
        time = steps[whose == number] - start[number]
        frame = [gallery.add(images[t], episode["flags"][t]) for t in time]
        about = pd.DataFrame({"frame": frame, "seed": entry["seed"], "file": entry["file"], "episode": number, "time": time})
        tables.append(about.join(pd.DataFrame(episode["state"][time], columns=[f"{STATE}{name}" for name in names])))
    return pd.concat(tables, ignore_index=True)
