"""What was learned: watch it, score it, look into its imagination."""

import json
from pathlib import Path
from typing import Annotated

import typer

RUN = Annotated[Path, typer.Argument(help="folder of a run, also of one under way; its agent.pt; or an archive of `export --checkpoints`")]
OF = Annotated[str | None, typer.Option("--run", help="in an archive with several agents, which: ENVIRONMENT/explore/METHOD/seed0")]
BEHAVIOUR = Annotated[str | None, typer.Option(help="explore or task; by default the one it was trained to act with")]
SEED = Annotated[int, typer.Option(min=0, help="fixes the episodes")]
EPISODES = Annotated[int, typer.Option(min=1)]


def add_to(app: typer.Typer) -> None:
    """`play`, `evaluate` and `dream`."""
    for command in (play, evaluate, dream):
        app.command()(command)


def play(
    source: RUN,
    behaviour: BEHAVIOUR = None,
    video: Annotated[Path | None, typer.Option(help="MP4 of all episodes, seen through the annotator's camera")] = None,
    episodes: EPISODES = 1,
    seed: SEED = 0,
    run: OF = None,
) -> None:
    """Let an agent play: a line for each episode, and a video."""
    import numpy as np

    from sensei.core.files import atomic
    from sensei.training.evaluate import write_video
    from sensei.use.agents import load_agent
    from sensei.use.play import play as steps_of

    agent, pictures, score, counts = load_agent(source, run), [], 0.0, {}
    environment = agent.environment()
    for step in steps_of(agent, environment, behaviour, episodes, seed):
        if step.first:
            number, score, counts = 0, 0.0, dict.fromkeys(step.events, 0.0)
        number, score = number + (not step.first), score + step.reward
        counts = {name: count + step.events[name] for name, count in counts.items()}
        if video:
            pictures.append(environment.render())
        if step.last:
            print(f"episode {step.episode}: {number} steps, return {score:g}; {', '.join(f'{name} {n:g}' for name, n in counts.items())}")
    environment.close()
    if video:
        with atomic(video) as temporary:
            write_video(temporary, np.stack(pictures))
        print(f"{video}: {len(pictures)} pictures")


def evaluate(
    source: RUN,
    behaviour: BEHAVIOUR = None,
    episodes: EPISODES = 10,
    seed: SEED = 0,
    run: OF = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, for programs")] = False,
) -> None:
    """Play episodes and say the mean return with a 95 % bootstrap interval over them."""
    from sensei.use.agents import load_agent
    from sensei.use.play import returns

    agent = load_agent(source, run)
    found = returns(agent, behaviour=behaviour, episodes=episodes, seed=seed)
    if as_json:
        print(json.dumps({"source": agent.source, "step": agent.step, "task": agent.task, **found}, indent=1))
    else:
        interval = f" [{found['low']:.3g}, {found['high']:.3g}]" if found["low"] is not None else ""
        print(f"{agent.task}: mean return {found['mean']:.3g}{interval} over {episodes} episodes; the agent had taken {agent.step} steps")


def dream(
    source: RUN,
    video: Annotated[Path, typer.Option(help="MP4: what happened, above what was imagined, above the difference")] = Path("dream.mp4"),
    figure: Annotated[Path | None, typer.Option(help="PNG of the error by horizon, with PDF and CSV beside it")] = None,
    seen: Annotated[int, typer.Option(min=1, help="steps that the model is shown")] = 5,
    horizon: Annotated[int, typer.Option(min=1, help="steps that it imagines from the actions alone")] = 15,
    behaviour: BEHAVIOUR = None,
    episodes: EPISODES = 3,
    seed: SEED = 0,
    run: OF = None,
) -> None:
    """Show a world model some steps, then only the actions, and compare what it imagines with what happened."""
    from sensei.core.files import atomic
    from sensei.training.evaluate import write_video
    from sensei.use import dream as dreams
    from sensei.use.agents import load_agent
    from sensei.use.play import play as steps_of

    agent = load_agent(source, run)
    dreamt = dreams.dream(agent, steps_of(agent, behaviour=behaviour, episodes=episodes, seed=seed), seen, horizon, seed)
    with atomic(video) as temporary:
        write_video(temporary, dreams.frames(dreamt))
    table = dreams.errors(dreamt)
    imagined = table[table.pictures == "imagined"].value
    ends = f"{imagined.iloc[0]:.4f} one step ahead, {imagined.iloc[-1]:.4f} after {horizon}"
    print(f"{video}: {len(dreamt.actual)} windows; squared error {ends}")
    if figure:
        dreams.draw_errors(table, figure)
        print(figure)
