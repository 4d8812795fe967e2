"""Watch agents: what the explorer does, what it would do for the task, and what the agent does that has learned the task.

python examples/play.py          # writes examples/explore.mp4, examples/task.mp4, examples/learned.mp4
"""

from pathlib import Path

import numpy as np
from released import EXPLORER, LEARNED

import sensei
from sensei.training.evaluate import write_video

HERE = Path(__file__).parent

for name, run, behaviour in (("explore", EXPLORER, "explore"), ("task", EXPLORER, "task"), ("learned", LEARNED, "task")):
    agent, pictures, counts = sensei.load_agent(run), [], {}
    environment = agent.environment()
    for step in sensei.play(agent, environment, behaviour=behaviour, episodes=2, seed=1):
        pictures.append(environment.render())
        counts = {event: counts.get(event, 0) + count for event, count in step.events.items()}
    environment.close()
    write_video(HERE / f"{name}.mp4", np.stack(pictures))
    print(f"{name}.mp4: {len(pictures)} pictures, {', '.join(f'{event} {count:g}' for event, count in counts.items())}")
