"""Score pictures of one's own: a folder of PNGs as annotators would see them, or by default an episode that is played for it.

    python examples/score.py [FOLDER] [--key-held]     # writes examples/scores.csv and examples/scores.png

A reward has no natural zero, and knows the environment that it was distilled for; it is only to be compared with others of its kind.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from released import EXPLORER, REWARD

import sensei

HERE = Path(__file__).parent


def own(folder: Path, shape: tuple[int, ...], held: bool) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The PNGs of a folder, in order, resized to what the model knows; whether the key is held, no picture shows."""
    paths = sorted(folder.glob("*.png"))
    images = [np.asarray(Image.open(path).convert("RGB").resize((shape[1], shape[0]), Image.Resampling.NEAREST)) for path in paths]
    return [path.name for path in paths], np.stack(images), np.full((len(paths), 1), held, np.float32)


def played() -> tuple[list[str], np.ndarray, np.ndarray]:
    """An episode of the explorer as it would solve the task."""
    agent = sensei.load_agent(EXPLORER)
    environment = agent.environment()
    seen = [(step, environment.render()) for step in sensei.play(agent, environment, behaviour="task", seed=1)]
    environment.close()
    names = [", ".join(name for name, count in step.events.items() if count) for step, _ in seen]
    return names, np.stack([picture for _, picture in seen]), np.stack([step.observation["flags"] for step, _ in seen])


parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("folder", nargs="?", type=Path)
parser.add_argument("--key-held", action="store_true")
arguments = parser.parse_args()
score = sensei.load_reward(REWARD)
names, images, flags = own(arguments.folder, score.image_shape, arguments.key_held) if arguments.folder else played()
table = pd.DataFrame({"picture": names, "reward": score(images, flags)})
table.to_csv(HERE / "scores.csv", index_label="number")
figure, axes = plt.subplots(figsize=(7, 2.5), layout="constrained")
axes.plot(table.index, table.reward, color="#D55E00")
for number, name in table.picture[table.picture != ""].items():
    axes.annotate(name, (number, table.reward[number]), rotation=30, fontsize=6)
axes.set(xlabel="picture", ylabel="semantic reward")
figure.savefig(HERE / "scores.png", dpi=200)
print(f"scores.csv, scores.png: {len(table)} pictures, rewards {table.reward.min():.2f} to {table.reward.max():.2f}")
