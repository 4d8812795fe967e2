"""Bookkeeping of episodes: what happened in each, the actions that lead back into it, and, for the collector, its file."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from sensei.core.files import atomic
from sensei.envs.step import Has, fields
from sensei.replay.episodes import NAMES, episode_name, load_episode, save_episode
from sensei.study.layout import RunFiles
from sensei.training.checkpoint import part


class Episodes:
    """Follows every worker's episode.

    Args:
        workers: environments side by side.
        event_names, state_names: names of the columns of `events` and `state`.
        keep: folder for one file an episode, None to keep no pictures.
    """

    def __init__(self, workers: int, event_names: tuple[str, ...], state_names: tuple[str, ...], keep: Path | None):
        self.event_names, self.state_names, self.keep = event_names, state_names, keep
        self.finished: list[dict] = []
        self.current: list[dict] = [{} for _ in range(workers)]
        self.actions: list[list] = [[] for _ in range(workers)]
        self.rows: list[list[dict]] = [[] for _ in range(workers)]
        self.numbers = [-1] * workers
        self.totals = {f"events/{name}": 0.0 for name in event_names} | {"unstable_episodes": 0.0}
        self._parts: dict[str, dict] = {}  # name of a kept file -> what it is

    def observe(self, rows: dict[str, np.ndarray], semantic: np.ndarray, step: int, workers: Iterable[int] | None = None) -> None:
        """Take in what the environments returned.

        Args:
            semantic: float [workers], NaN without a reward model.
            step: agent steps so far.
            workers: whose rows are new; None for all.
        """
        for worker in range(len(rows["is_first"])) if workers is None else workers:
            is_first = rows["is_first"][worker]
            if is_first:
                self._begin(worker, step)
            current = self.current[worker]
            current["length"] += not is_first
            current["last_step"] = step
            current["episode_return"] += float(rows["reward"][worker])
            current["semantic_return"] += float(semantic[worker])
            for name, value in zip(self.event_names, rows["events"][worker].tolist(), strict=True):
                current[name] += value
                self.totals[f"events/{name}"] += value
            self.totals["unstable_episodes"] += bool(rows["is_unstable"][worker])
            if self.keep:
                self.rows[worker].append({name: rows[name][worker] for name in fields(Has.EPISODE) if name in rows})
            if rows["is_last"][worker]:
                self._end(worker)

    def _begin(self, worker: int, step: int) -> None:
        self.numbers[worker] += 1
        counts = dict.fromkeys(("length", "episode_return", "semantic_return", *self.event_names), 0.0)
        head = {"worker": worker, "episode": self.numbers[worker], "finished": False, "first_step": step, "last_step": step}
        self.current[worker] = head | counts
        self.actions[worker], self.rows[worker] = [], []

    def _end(self, worker: int) -> None:
        self.finished.append({**self.current[worker], "finished": True})
        if self.keep:
            save_episode(self.keep / episode_name(worker, self.numbers[worker]), self._episode(worker))

    def act(self, actions: np.ndarray) -> None:
        """Note the actions [workers, ...] about to be taken; after the last step of an episode they have no effect."""
        for worker, action in enumerate(actions):
            self.actions[worker].append(action)

    def _episode(self, worker: int) -> dict[str, np.ndarray]:
        rows, actions = self.rows[worker], self.actions[worker][: len(self.rows[worker]) - 1]
        episode = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        last = np.zeros_like(actions[-1] if actions else 0)
        episode["action"] = np.stack([*actions, last])
        return episode | {"event_names": np.array(self.event_names), "state_names": np.array(self.state_names)}

    def keep_running(self) -> None:
        """Also write the episodes that the end of the run cut off."""
        for worker, rows in enumerate(self.rows):
            if self.keep and len(rows) > 1 and not rows[-1]["is_last"]:
                save_episode(self.keep / episode_name(worker, self.numbers[worker]), self._episode(worker))

    def table(self) -> pd.DataFrame:
        """One row an episode, the unfinished ones last: worker, episode, finished, first_step, last_step, length, returns, events."""
        finished = {(row["worker"], row["episode"]) for row in self.finished}
        running = [row for row in self.current if row and (row["worker"], row["episode"]) not in finished]
        table = pd.DataFrame([*self.finished, *running])
        return table.astype({"length": int, "finished": bool})

    def write(self, path: Path) -> None:
        """Write the table as parquet."""
        with atomic(path) as temporary:
            self.table().to_parquet(temporary, index=False)

    def checkpoint(self, files: RunFiles, step: int) -> dict:
        """State of the bookkeeping; pictures of running episodes go to files of their own beside it."""
        if self.keep:
            for worker, rows in enumerate(self.rows):
                if rows:
                    save_episode(files.running_episode(step, worker), self._episode(worker))
        actions = [np.array(actions) for actions in self.actions]
        current = [dict(current) for current in self.current]
        return {
            "finished": list(self.finished),
            "current": current,
            "actions": actions,
            "numbers": list(self.numbers),
            "totals": dict(self.totals),
        }

    def parts(self, files: RunFiles, step: int) -> dict[str, dict]:
        """What `checkpoint` refers to: the files of episodes that are over, each read once, and of those that are running."""
        if not self.keep:
            return {}
        for row in self.finished[len(self._parts) :]:
            name = episode_name(row["worker"], row["episode"])
            self._parts[name] = part(self.keep / name)
        running = [files.running_episode(step, worker) for worker, rows in enumerate(self.rows) if rows]
        kept = {str((self.keep / name).relative_to(files.folder)): value for name, value in self._parts.items()}
        return kept | {str(path.relative_to(files.folder)): part(path) for path in running}

    def restore(self, checkpoint: dict, files: RunFiles, step: int) -> None:
        """Continue from a checkpoint; files of episodes that ended after it are deleted, they will be written again."""
        self.finished, self.current, self.numbers = list(checkpoint["finished"]), list(checkpoint["current"]), list(checkpoint["numbers"])
        self.actions, self.totals = [list(actions) for actions in checkpoint["actions"]], dict(checkpoint["totals"])
        if not self.keep:
            return
        known = {episode_name(row["worker"], row["episode"]) for row in self.finished}
        for path in self.keep.glob("*.npz"):
            if path.name not in known:
                path.unlink()
        for worker in range(len(self.current)):
            episode = load_episode(files.running_episode(step, worker))
            names = [name for name in episode if name not in ("action", *NAMES.values())]
            self.rows[worker] = [{name: episode[name][t] for name in names} for t in range(len(episode["reward"]))]


def forget_old(files: RunFiles, step: int) -> None:
    """Delete pictures of running episodes that belong to earlier checkpoints."""
    kept = set(files.checkpoint.glob(files.running_episode(step, "*").name))
    for path in files.checkpoint.glob(files.running_episode("*", "*").name):
        if path not in kept:
            path.unlink()
