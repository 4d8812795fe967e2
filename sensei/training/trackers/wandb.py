"""Weights & Biases. Its own variables say where to: WANDB_PROJECT, WANDB_ENTITY, WANDB_API_KEY, WANDB_MODE=offline."""

import os
import shutil
from pathlib import Path

from sensei.training.trackers.contract import Record, Tracker


class WeightsAndBiases(Tracker):
    """One run of the project `sensei` (or WANDB_PROJECT), in the study's group; a resumed run goes on under the same identity.

    Its library holds lines back, and a kill takes them. So all come again: those that the server has are passed over, and off-line the
    files of the run that was killed are replaced.
    """

    package = "wandb"
    install = "pip install -e '.[wandb]'"
    keeps = False

    def __init__(self, record: Record):
        import wandb

        super().__init__(record)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "sensei"),
            group=record.study,
            name=record.title,
            id=record.identity,
            config=record.settings,
            dir=record.folder,
            resume="allow",
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.begins_at = self.run.starting_step
        if self.run.offline:
            for folder in record.folder.glob(f"wandb/offline-run-*-{record.identity}"):
                if folder != Path(self.run.dir).parent:
                    shutil.rmtree(folder)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        if step >= self.begins_at:
            self.run.log(metrics, step=step)  # with others of this step, when a later one comes: it takes none again

    def close(self) -> None:
        self.run.finish()
