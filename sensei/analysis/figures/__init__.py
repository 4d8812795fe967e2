"""The figures a study can name under `figures:`; one module each, drawn from finished artefacts only.

Every module has `load(study, results)`, which reads its inputs, and `draw(study, data)`, a pure function that returns a
`style.Drawing`. This file imports no plotting library, so that the workflow can ask for `check` and `inputs` cheaply.
"""

import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from sensei.core.errors import SenseiError
from sensei.study.models.study import Study

FIGURES = {
    "semantic_reward": "semantic reward along one episode, with screenshots (paper Fig. 4)",
    "interactions": "interactions during exploration (paper Figs. 5 and 6)",
    "task_rewards": "rewards of Robodesk's tasks during exploration (paper Fig. 16)",
    "open_drawer_light": "rewards of one of Robodesk's tasks during exploration (paper Fig. 15)",
    "downstream": "score of the task over task steps (paper Figs. 7 and 21)",
    "reward_model": "loss and accuracy of the reward models over epochs",
    "labels": "how good the labels are, and what a reward model learns from how many of them",
    "ppo_convergence": "PPO alone, until it converges (paper Fig. 13)",
}
PARTS = ("share0.01/", "share0.1/", "")  # folders of reward models that learned from 1 %, 10 % and all of the labels
SUFFIXES = (".pdf", ".png", ".csv")
# Figure of the paper -> module that draws it from the published values alone.
PUBLISHED = {
    5: "interactions",
    6: "interactions",
    7: "downstream",
    13: "ppo_convergence",
    15: "open_drawer_light",
    16: "task_rewards",
    21: "downstream",
}


def check(names: Iterable[str]) -> None:
    """Raise a SenseiError that lists the valid names if one of `names` is no figure."""
    if unknown := [name for name in names if name not in FIGURES]:
        raise SenseiError(
            f"`figures` names {', '.join(map(repr, unknown))}, which no figure is called", expected=f"one of {', '.join(FIGURES)}"
        )


def module(name: str) -> ModuleType:
    """The module that draws figure `name`."""
    check([name])
    return importlib.import_module(f"{__name__}.{name}")


def inputs(name: str, study: Study) -> list[str]:
    """Files that figure `name` of `study` is drawn from, relative to `results/{study}/`."""
    check([name])
    if name == "semantic_reward":
        return [file for environment in study.environments for file in _semantic_reward_inputs(study, environment)]
    if name == "labels":
        folders = [(environment, annotator) for environment in study.environments for annotator in study.annotators_of(environment)]
        files = ["labels/{}/labels.parquet", "labels/{}/card.json", *(f"reward/{{}}/{part}card.json" for part in PARTS)]
        return [f"{environment}/{file.format(annotator)}" for environment, annotator in folders for file in files]
    if name == "reward_model":
        folders = [
            f"{environment}/reward/{annotator}" for environment in study.environments for annotator in study.annotators_of(environment)
        ]
        return [f"{folder}/{file}" for folder in folders for file in ("curves.csv", "card.json")]
    return ["scores.parquet"]


def _semantic_reward_inputs(study: Study, environment: str) -> list[str]:
    seed = study.settings[environment].pairs.seeds[0]
    return [
        f"{environment}/reward/{study.annotators_of(environment)[0]}/reward.safetensors",
        f"{environment}/explore/{study.collector}/seed{seed}/events.parquet",
        f"{environment}/collect/seed{seed}/index.parquet",
    ]


def make(name: str, study: Study, results: Path, stem: Path) -> None:
    """Draw figure `name` from the files below `results` (= results/{study}) into `{stem}.pdf`, `.png` and `.csv`.

    Raises:
        SenseiError: unknown figure, or a missing or damaged input, named.
    """
    from sensei.analysis import style  # here, so that `check` and `inputs` need no matplotlib

    figure = module(name)
    style.save(figure.draw(study, figure.load(study, Path(results))), stem)


def draw_published(folder: Path) -> list[Path]:
    """Draw the figures of `PUBLISHED` from the published values alone, into `folder`/fig{number}.{pdf,png,csv}."""
    from sensei.analysis import style

    written = []
    for number, name in PUBLISHED.items():
        stem = Path(folder) / f"fig{number}"
        style.save(module(name).draw_published(number), stem)
        written += [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]
    return written
