"""How many pairs a second the annotator behind the OpenAI API asks about, with a server that answers at once on the same machine."""

import json
import os
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensei.bench.measure import Json, emit, machine

if TYPE_CHECKING:
    from sensei.preferences.pair import Pair

FRAMES, SIDE = 2000, 80  # as many different pictures as a shard has, of MiniHack's size


def annotate(
    pairs: Annotated[int, typer.Option(min=100, help="pairs asked about")] = 3000,
    at_once: Annotated[int, typer.Option(min=1, help="requests in flight")] = 32,
    json_path: Json = None,
) -> None:
    """Pairs a second through the OpenAI client and the ledger, and the client's own time for each; nothing leaves the machine."""
    from sensei.annotators.ledger import Ledger
    from sensei.annotators.prompts import load_prompt
    from sensei.annotators.vlm.openai.asking import Asking
    from sensei.annotators.vlm.openai.options import OpenAIOptions
    from sensei.bench.openai_server import running
    from sensei.study.layout import LabelFiles

    options = OpenAIOptions(kind="openai_api", model="bench", requests={"at_once": at_once})
    with tempfile.TemporaryDirectory() as name, running(models=options.model) as address:
        folder = Path(name)
        os.environ |= {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "none"}
        questions = _pairs(folder, pairs)

        def ask() -> dict[str, float]:
            begin, busy, server = time.perf_counter(), time.process_time(), _server_seconds(address)
            asking = Asking(options, load_prompt("robodesk"), Ledger(folder / "ledger.sqlite"), LabelFiles(folder).first_turn)
            asked = sum(1 for _ in asking.replies(questions))
            seconds = time.perf_counter() - begin
            client, server = time.process_time() - busy, _server_seconds(address) - server
            return {
                "pairs_per_second": asked / seconds,
                "client_ms_per_pair": 1000 * client / asked,
                "server_ms_per_pair": 1000 * server / asked,
            }

        emit({"pairs": pairs, "at_once": at_once, "asked": ask(), "from_ledger": ask(), "machine": machine()}, json_path)


def _pairs(folder: Path, number: int) -> "list[Pair]":
    """Pairs of random pictures of flat tiles, like a map."""
    import numpy as np

    from sensei.preferences.frames import Frames, save_frames
    from sensei.preferences.pair import Pair, Side

    rng = np.random.default_rng(0)
    tiles = rng.integers(256, size=(FRAMES, 5, 5, 3), dtype=np.uint8)
    image = tiles.repeat(SIDE // 5, 1).repeat(SIDE // 5, 2)
    save_frames(folder / "frames.npz", {"default": image}, np.zeros((FRAMES, 1), np.float32))
    frames = Frames(folder / "frames.npz")
    sides = rng.integers(FRAMES, size=(number, 2))
    return [Pair(pair, False, *(Side(frames, int(frame), {}) for frame in both)) for pair, both in enumerate(sides)]


def _server_seconds(address: str) -> float:
    """Processor time that the server has used."""
    with urllib.request.urlopen(f"{address}/count") as response:
        return json.load(response)["cpu_seconds"]
