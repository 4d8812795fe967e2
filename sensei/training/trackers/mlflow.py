"""MLflow. Where to is its own variable: MLFLOW_TRACKING_URI, a server's address or a folder."""

import time

from sensei.training.trackers.contract import Record, Tracker

AT_ONCE, LONGEST = 100, 500  # parameters in a request, and letters of one
OURS = "tags.`sensei.identity` = '{}'"


class MLflow(Tracker):
    """One run of the experiment that is called as the study; a resumed run is found again by its identity."""

    package = "mlflow"
    install = "pip install -e '.[mlflow]'"

    def __init__(self, record: Record):
        from mlflow import MlflowClient

        super().__init__(record)
        self.client = MlflowClient()
        experiment = self.client.get_experiment_by_name(record.study)
        number = experiment.experiment_id if experiment else self.client.create_experiment(record.study)
        found = self.client.search_runs([number], OURS.format(record.identity))
        self.run = found[0].info.run_id if found else self._begin(number)
        self.client.update_run(self.run, status="RUNNING")

    def _begin(self, experiment: str) -> str:
        from mlflow.entities import Param

        run = self.client.create_run(experiment, run_name=self.record.title, tags={"sensei.identity": self.record.identity})
        settings = [Param(name, str(value)[:LONGEST]) for name, value in _flat(self.record.settings)]
        for first in range(0, len(settings), AT_ONCE):
            self.client.log_batch(run.info.run_id, params=settings[first : first + AT_ONCE])
        return run.info.run_id

    def write(self, step: int, metrics: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self.client.log_batch(self.run, metrics=[Metric(name, value, now, step) for name, value in metrics.items()], synchronous=True)

    def close(self) -> None:
        self.client.set_terminated(self.run)


def _flat(settings: dict, prefix: str = "") -> list[tuple[str, object]]:
    """Nested settings as dotted names."""
    found = []
    for name, value in settings.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found
