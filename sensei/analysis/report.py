"""One self-contained page with every figure, table, video, card and manifest of a study."""

from pathlib import Path

from sensei.config import Study


def build(study: Study, results: Path) -> str:
    """The HTML of `results/{study}/report.html`; needs no network and no other file.

    Args:
        results: the folder of the study. Reads figures/*.png, tables/*.csv, label and reward cards, one video a method, and
            every *.manifest.json below it.

    Raises:
        SenseiError: a figure or table that the study names is missing.
    """
    raise NotImplementedError
