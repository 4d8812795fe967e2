"""The stages that make tables and figures of finished runs."""

from pathlib import Path
from typing import Any

from sensei.core.files import write_text
from sensei.envs.registry import family
from sensei.study.layout import Layout, log_beside, published_figure, published_report, published_table
from sensei.study.models.study import Study
from sensei.study.slices import families, figure_of, figures_of, of_analysis
from sensei.study.stage import Job, Paths, Stage


class Tabulate(Stage):
    """Gather the scores and interaction counts of every run of the study; a missing run is an error that names it."""

    name = "tabulate"

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        return {"scores": files.scores}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        from sensei.analysis.scores import inputs

        return inputs(study, files)

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        return of_analysis(study)

    def code(self, study: Study, job: Job) -> list[str]:
        return ["sensei.analysis.scores"]

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.analysis.scores import tabulate

        tabulate(study, Layout.of(outputs["scores"]), outputs["scores"])


class Figure(Stage):
    """Draw one figure from finished results."""

    name = "figure"
    axes = ("figure",)

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        return {path.suffix[1:]: path for path in files.figure(job.figure)}

    def log(self, files: Layout, job: Job) -> Path:
        return log_beside(self.outputs(files, job)["csv"], job.figure)

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        return figure_of(study, job.figure).inputs(study, files)

    def folders(self, study: Study, files: Layout, job: Job) -> dict[Path, Path]:
        return figure_of(study, job.figure).folders(study, files)

    def within(self, study: Study, files: Layout, job: Job) -> list[Path]:
        from sensei.analysis.inputs import Inputs

        chosen = figure_of(study, job.figure).within(study, Inputs(self.inputs(study, files, job)))
        return super().within(study, files, job) if chosen is None else chosen

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        return of_analysis(study)

    def code(self, study: Study, job: Job) -> list[str]:
        figure = figure_of(study, job.figure)
        drawn = [name for name in study.environments if figure.draws_states and family(study.settings[name].environment).renders_states]
        return [type(figure).__module__, *families(study, drawn)]

    def facts(self, study: Study, job: Job) -> list[str]:
        return families(study, study.environments)

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.analysis.figures.contract import make

        make(figure_of(study, job.figure), study, inputs, list(outputs.values()))


class Tables(Stage):
    """Write the tables of final numbers as CSV and Markdown."""

    name = "tables"

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        from sensei.analysis.tables import TABLES

        return {f"{table}_{path.suffix[1:]}": path for table in TABLES for path in files.table(table)}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        from sensei.analysis.tables import inputs

        return inputs(study, files)

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        return of_analysis(study)

    def code(self, study: Study, job: Job) -> list[str]:
        return ["sensei.analysis.tables"]

    def facts(self, study: Study, job: Job) -> list[str]:
        return families(study, study.environments)

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.analysis.tables import make

        make(study, Layout.of(inputs["scores"]))


class Report(Stage):
    """Put figures, tables, videos and cards on one self-contained page."""

    name = "report"

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        return {"page": files.report}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        from sensei.analysis.report import inputs

        return inputs(study, files)

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        return of_analysis(study) | {"figures": study.figures}

    def code(self, study: Study, job: Job) -> list[str]:
        figures = [type(figure).__module__ for figure in figures_of(study).values()]
        return ["sensei.analysis.report", *figures]

    def facts(self, study: Study, job: Job) -> list[str]:
        return families(study, study.environments)

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.analysis.report import build

        write_text(outputs["page"], build(study, Layout.of(outputs["page"])))


class Published(Stage):
    """Draw figures, tables and a page from the published values alone; needs no study."""

    name = "published"
    needs_study = False
    own = {"folder": "where they go; by default results/published"}

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        from sensei.analysis.figures.registry import published
        from sensei.analysis.report.published import tables

        figures = {
            f"figure{key}_{path.suffix[1:]}" if isinstance(key, int) else f"{key}_{path.suffix[1:]}": path
            for key in published()
            for path in published_figure(key)
        }
        texts = {f"{name}_{path.suffix[1:]}": path for name in tables() for path in published_table(name)}
        return figures | texts | {"page": published_report()}

    def code(self, study: Study | None, job: Job) -> list[str]:
        from sensei.analysis.figures.registry import published

        return sorted({"sensei.analysis.report.published", *(type(figure).__module__ for figure in published().values())})

    def run(self, study: Study | None, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.analysis.report.published import make

        make(outputs["page"].parent)
