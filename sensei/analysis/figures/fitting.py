"""What of a study some figures show, from its configuration alone; they refuse a study that has none of it before its first job."""

from sensei.analysis import published
from sensei.analysis.figures.contract import Figure
from sensei.analysis.scores import task_rewards
from sensei.core.errors import SenseiError
from sensei.envs.contract import TASK_EVENT
from sensei.study.models.study import Study


def not_counted(figure: Figure, study: Study, event: str, what: str = "what") -> SenseiError:
    """That a figure draws `what` no environment of the study counts, for want of `event`."""
    return SenseiError(
        f"figure {figure.name} draws {what} no environment of the study counts",
        found=", ".join(study.environments),
        expected=f"an environment with {event} among its `events`",
        hint=f"remove {figure.name} from `figures`",
    )


def longer(figure: Figure, study: Study) -> list[str]:
    """Methods that learn for steps of their own.

    Raises:
        SenseiError: there are none.
    """
    own = {method for name in study.environments for method in study.settings[name].training.own_steps}
    if not (methods := [method for method in study.learn if method in own]):
        what = f"figure {figure.name} draws methods that learn for steps of their own"
        raise SenseiError(what, found="none", expected="`training.own_steps` of one", hint=f"or remove {figure.name} from `figures`")
    return methods


def rewarded(figure: Figure, study: Study) -> dict[str, dict[str, list[str]]]:
    """Environment -> task -> the events of its sparse reward, of the tasks that the paper's figures of `figure` show, in its order.

    Raises:
        SenseiError: no environment of the study counts any of them.
    """
    tasks, found = published.bars(*figure.published)["metric"].unique(), {}
    for environment in study.environments:
        counted = task_rewards(study.settings[environment].environment)
        if kinds := {task: counted[task] for task in tasks if task in counted}:
            found[environment] = kinds
    if not found:
        raise not_counted(figure, study, f"{TASK_EVENT}{tasks[0]}", "rewards of tasks that")
    return found
