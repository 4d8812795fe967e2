"""Metrics: one JSON line every `log_every` steps, the same for the same seed; wall times go to a file of their own."""

import json
import os
import shutil
import time
from collections import Counter

import torch

from sensei.core.files import atomic, writing
from sensei.core.progress import progress
from sensei.study.layout import RunFiles
from sensei.training.checkpoint import part
from sensei.training.tracking import Tracking


class Logger:
    """Collects scalars between two lines.

    The metrics hold only what the seed determines, so that two runs with one seed are equal to the byte; seconds and rates go to a
    file of their own.

    Args:
        files: of the run.
        every: agent steps between lines.
        total: agent steps of the run, for the progress line.
        title: what the progress line calls the run.
        tracking: where else lines go.
    """

    def __init__(self, files: RunFiles, every: int, total: int, title: str, tracking: Tracking):
        with writing(files.checkpoint):
            files.checkpoint.mkdir(parents=True, exist_ok=True)
        self.files, self.path, self.every, self.total, self.title = files, files.metrics_so_far, every, total, title
        # The metrics of an update are added as one vector: 40 additions of scalars cost a GPU as much as acting does.
        self.sums: dict[tuple[str, ...], torch.Tensor] = {}
        self.counts: dict[tuple[str, ...], int] = {}
        self.written_step, self.bar = 0, None
        self.clock = time.perf_counter()
        self.started_step = self.updates = self.started_updates = 0
        self.tracking = tracking

    def add(self, metrics: dict[str, torch.Tensor]) -> None:
        """Add the scalars (0-d tensors) of one update to the means of the next line; does not wait for the device."""
        names = tuple(metrics)
        if names:
            values = torch.stack([value.detach() for value in metrics.values()])
            self.sums[names] = self.sums[names].to(values.device) + values if names in self.sums else values
            self.counts[names] = self.counts.get(names, 0) + 1

    def advance(self, step: int, updates: int, totals: dict[str, float]) -> None:
        """Show progress; write a line when `every` steps have passed since the last one, and at the end."""
        self.bar = self.bar or progress(self.total, self.title, "step", initial=step)
        self.bar.update(min(step, self.total) - self.bar.n)
        self.updates = updates
        if step // self.every > self.written_step // self.every or step >= self.total > self.written_step:
            means = self._means()
            self.sums, self.counts = {}, {}
            self.write(step, {**means, "updates": updates, **totals})
            self._time(step, updates)
            self.written_step = step

    def _means(self) -> dict[str, float]:
        """Of every scalar over the updates that gave it, for not all give the same."""
        sums, counts = Counter(), Counter()
        for names, values in self.sums.items():
            sums.update(dict(zip(names, values.tolist(), strict=True)))
            counts.update(dict.fromkeys(names, self.counts[names]))
        return {name: total / counts[name] for name, total in sums.items()}

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Append one line; floats carry seven digits, as float32 does."""
        line = {"step": step, **{name: float(f"{value:.7g}") for name, value in metrics.items()}}
        with writing(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        shown = {name.split("/")[-1]: f"{value:.4g}" for name, value in metrics.items() if name in SHOWN or name.startswith("events/")}
        if self.bar is not None and shown:
            self.bar.set_postfix(shown, refresh=False)
        self.tracking.follow()

    def _time(self, step: int, updates: int) -> None:
        seconds = time.perf_counter() - self.clock
        line = {"step": step, "seconds": round(seconds, 3), "steps_per_second": round((step - self.started_step) / seconds, 2)}
        line["updates_per_second"] = round((updates - self.started_updates) / seconds, 3)
        with writing(self.files.timing), open(self.files.timing, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.clock, self.started_step, self.started_updates = time.perf_counter(), step, updates

    def checkpoint(self) -> dict:
        """Means under way and the length of the file, which is flushed to disk, so that a resumed run writes the same lines."""
        sums, size = {names: values.cpu() for names, values in self.sums.items()}, 0
        if self.path.exists():
            with writing(self.path), open(self.path, "rb+") as file:
                os.fsync(file.fileno())
                size = os.fstat(file.fileno()).st_size
        return {"sums": sums, "counts": dict(self.counts), "written_step": self.written_step, "size": size}

    def parts(self) -> dict[str, dict]:
        """What `checkpoint` refers to."""
        return {str(self.path.relative_to(self.files.folder)): part(self.path, grows=True)} if self.path.exists() else {}

    def restore(self, checkpoint: dict, step: int, updates: int) -> None:
        """Cut the file back to the checkpoint."""
        self.sums, self.counts, self.written_step = dict(checkpoint["sums"]), dict(checkpoint["counts"]), checkpoint["written_step"]
        self.started_step, self.started_updates = step, updates
        if self.path.exists():
            with writing(self.path), open(self.path, "rb+") as file:
                file.truncate(checkpoint["size"])

    def publish(self) -> None:
        """Copy the complete file to its final place."""
        with atomic(self.files.metrics) as temporary:
            shutil.copyfile(self.path, temporary)

    def close(self) -> None:
        """End the progress line, and what trackers are told."""
        if self.bar is not None:
            self.bar.close()
        self.tracking.close()


SHOWN = ("evaluation/score", "loss/image", "loss/semantic", "model/kl", "explore/explore_share")
