"""TensorBoard: `tensorboard --logdir results/STUDY`."""

import shutil

from sensei.training.trackers.contract import Record, Tracker


class TensorBoard(Tracker):
    """Event files beside `metrics.jsonl`, in `tensorboard/`."""

    package = "tensorboard"
    install = "pip install -e '.[tensorboard]'"

    def __init__(self, record: Record):
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(record)
        folder = record.folder / "tensorboard"
        if record.begins:
            shutil.rmtree(folder, ignore_errors=True)
        self.writer = SummaryWriter(folder)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
