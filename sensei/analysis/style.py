"""One look for every figure: colours that stay apart for colour-blind readers, sizes of a two-column page, vector fonts."""

import logging
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter
from PIL import Image

from sensei.core.errors import SenseiError
from sensei.core.files import atomic

logging.getLogger("fontTools").setLevel(logging.WARNING)  # else a page of notes for every vector font written

COLUMN_WIDTH = 3.25  # inches
FULL_WIDTH = 6.75
PNG_DPI = 300

# In the order of bars and legends. Okabe and Ito's palette and three darker colours; tests hold them apart for colour-blind readers.
COLOURS = {
    "sensei": "#D55E00",
    "sensei_released": "#7B2D00",
    "sensei_general": "#4B1D91",
    "plan2explore": "#0072B2",
    "vlm_motif": "#009E73",
    "dreamerv3": "#CC79A7",
    "ppo": "#E69F00",
    "rnd": "#56B4E9",
    "random": "#5F5F5F",
}
SPARE_COLOURS = ("#44AA99", "#882255", "#117733", "#6699CC", "#AA4499")
# A second sign beside the colour, for black-and-white print.
MARKERS = {
    "sensei": "o",
    "plan2explore": "s",
    "vlm_motif": "^",
    "dreamerv3": "D",
    "ppo": "v",
    "rnd": "P",
    "random": "X",
    "sensei_released": "p",
    "sensei_general": "h",
}
INK = "#222222"
FAINT = "#777777"

RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same drawing on every machine
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.grid": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "sensei",
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.04,
}


@dataclass(frozen=True)
class Drawing:
    """A figure, the exact numbers it shows and the caption that says what they are."""

    figure: Figure
    numbers: pd.DataFrame
    caption: str


def styled():
    """Decorator or context in which figures get their look."""
    return matplotlib.rc_context(RC)


def figure(width: float, height: float) -> Figure:
    """An empty figure of `width` by `height` inches that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")


def colour(method: str) -> str:
    """The colour of `method`, in every figure; a method of one's own gets one by its name."""
    return COLOURS.get(method) or SPARE_COLOURS[zlib.crc32(method.encode()) % len(SPARE_COLOURS)]


def marker(method: str) -> str:
    """The marker of `method`, in every figure."""
    return MARKERS.get(method, "*")


def ordered(methods: Iterable[str]) -> list[str]:
    """`methods`, each once, in the order of `COLOURS`; others after them."""
    methods = list(methods)
    return [method for method in dict.fromkeys([*COLOURS, *methods]) if method in methods]


def count(value: float) -> str:
    """A number as short text: 500000 -> 500K, 1500000 -> 1.5M, 0.25 -> 0.25."""
    for size, suffix in ((1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def count_axis(axis: matplotlib.axis.Axis, ticks: int) -> None:
    """Short tick labels on `axis`, at most `ticks` intervals."""
    axis.set_major_locator(matplotlib.ticker.MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))


def save(drawing: Drawing, stem: str | Path) -> None:
    """Write `{stem}.pdf`, `{stem}.png` (300 dpi) and `{stem}.csv` (the numbers drawn), each whole or not at all.

    The caption goes into the metadata of both pictures (`read_caption`), so that neither travels without it; there are no
    dates, so equal data give equal bytes.
    """
    stem = Path(stem)
    title = stem.name.replace("_", " ")
    with styled():
        with atomic(stem.with_name(stem.name + ".csv")) as path:
            drawing.numbers.to_csv(path, index=False, lineterminator="\n")
        with atomic(stem.with_name(stem.name + ".pdf")) as path:
            metadata = {"Title": title, "Subject": drawing.caption, "CreationDate": None, "Creator": "sensei", "Producer": None}
            drawing.figure.savefig(path, format="pdf", metadata=metadata)
        with atomic(stem.with_name(stem.name + ".png")) as path:
            metadata = {"Title": title, "Description": drawing.caption, "Software": "sensei"}
            drawing.figure.savefig(path, format="png", dpi=PNG_DPI, metadata=metadata)


def read_caption(png: str | Path) -> str:
    """The caption inside a picture that `save` wrote; a missing or damaged picture is a SenseiError that names it."""
    try:
        with Image.open(png) as image:
            image.load()
            return image.text["Description"]
    except FileNotFoundError as error:
        raise SenseiError(f"there is no {png}", hint="run the stage `figure` first") from error
    except (OSError, SyntaxError, KeyError, AttributeError) as error:
        raise SenseiError(f"{png} is damaged", expected="a picture with its caption inside", hint=f"delete {png} and run again") from error


def wrapped(text: str, inches: float, size: str) -> str:
    """`text` broken between words into lines that are at most `inches` wide in the font size that `RC[size]` gives."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_inches(longer, size) > inches:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def text_inches(text: str, size: str) -> float:
    """Width of `text` in the font size that `RC[size]` gives, in inches."""
    return float(TextPath((0, 0), text, size=RC[size], prop=FontProperties(family=RC["font.family"])).get_extents().width) / 72
