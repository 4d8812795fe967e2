"""In how many of the imagined states the policy goes instead of exploring, over the steps of exploration (paper Eq. 8)."""

from pathlib import Path

import pandas as pd

from sensei.analysis import statistics
from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.training import BINS, EXPLORE_SHARE, Training, binned
from sensei.analysis.inputs import Inputs
from sensei.analysis.scores import explored_run, present
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.study.layout import Layout, RunFiles
from sensei.study.models.study import Study

QUANTITY = "share in go"


class GoShare(Training, Figure):
    """One panel for each environment, one line for each method with a gate: both gates, or settings of one, side by side."""

    title = "share of imagined states in which the policy goes"
    published = ()

    def check(self, study: Study) -> None:
        """That a method has a gate."""
        if not any(study.methods[name].gate != "none" for name in study.explore):
            found = ", ".join(study.explore)
            raise SenseiError(f"figure {self.name} draws methods with a gate", found=found, expected="one in `explore`, such as sensei")

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """The metrics of every exploration run of a method with a gate."""
        runs = [explored_run(study, layout, *run) for run in present(study, layout)[0]]
        return {"metrics": [run.metrics for run in runs if _switches(study, run)]}

    def load(self, study: Study, inputs: Inputs) -> pd.DataFrame:
        """As figure `training` has it, of this share alone.

        Raises:
            SenseiError: no run logs the share; or a file is missing or damaged, named.
        """
        data = super().load(study, inputs)
        data = data[data["panel"] == EXPLORE_SHARE].reset_index(drop=True)
        if data.empty:
            raise SenseiError(
                f"figure {self.name}: no run logs where it goes and where it explores", hint=f"remove {self.name} from `figures`"
            )
        return data

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """Mean over seeds with its band, and each seed."""
        from sensei.analysis.figures import captions, curves

        found = []
        for environment in study.environments:
            tables = []
            for method, runs in data[data["environment"] == environment].groupby("name", sort=False):
                table = binned(runs).dropna(subset="run").pivot(index="step", columns="run", values="value").dropna()
                values = 1 - table.to_numpy().T
                rng = generator(0, "go share", environment, method)
                tables += curves.lines(
                    study, method, table, values, 1, *statistics.error_bars(values, captions.error_kind(study, environment), rng)
                )
            if tables:
                drawn = pd.concat(tables).assign(environment=environment, quantity=QUANTITY, source="ours").reindex(columns=curves.COLUMNS)
                seeds = captions.number(int(drawn["seeds"].max()), "seed")
                found.append({f"{study.settings[environment].environment.title}, {QUANTITY}, {seeds}": drawn})
        bands = pd.concat([table for stack in found for table in stack.values()])["band"].dropna()
        caption = (
            f"Share of imagined states in which the go weights count, over agent steps of exploration, averaged over {BINS}ths of the "
            f"longest run: {captions.seeds(study)}. Lines are means over seeds, thin lines seeds; "
            f"{captions.band(captions.most_seeds(study), 'bands', bands)}."
        )
        return curves.draw(found, caption + captions.gates(study, list(data["name"].unique())), "agent steps")


def _switches(study: Study, run: RunFiles) -> bool:
    return study.methods[run.explored[1]].gate != "none"
