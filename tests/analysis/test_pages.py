"""Whether the pages fit: in a browser where there is one (Debian's chromium), by their rules where there is none."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from fakes.analysis_tree import make_study, write_study

from sensei.analysis import report, tables
from sensei.analysis.figures.contract import make
from sensei.analysis.figures.registry import figures_of
from sensei.study.layout import Layout

WIDTHS = (1400, 390)  # of a window, and of a phone, in pixels
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
HARNESS = """<!doctype html><body>{frames}<pre id="measured"></pre><script>
addEventListener("load", () => {{
  const measured = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, width = page.documentElement.clientWidth;
    const wide = [...page.querySelectorAll("table, td, p, img, video, figcaption, h1, h2, h3, nav")].filter(
      part => part.offsetParent && part.getBoundingClientRect().right > width + 1);
    const cut = [...page.querySelectorAll("td, th")].filter(part => part.offsetParent && part.scrollWidth > part.clientWidth + 1);
    return {{width, scroll: page.documentElement.scrollWidth, wide: wide.map(part => part.outerHTML.slice(0, 80)),
             cut: cut.map(part => part.textContent.slice(0, 40)), tables: page.querySelectorAll("table").length}};
  }});
  document.getElementById("measured").textContent = JSON.stringify(measured);
}});
</script></body>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The report of a study with two environments, with every table and card."""
    study = make_study(("minihack_keyroom_s15", "minihack_keychest"), figures=["interactions"], question="Does it fit?")
    layout = Layout(tmp_path_factory.mktemp("results"))
    write_study(study, layout)
    for figure in figures_of(study).values():
        make(figure, study, figure.inputs(study, layout), layout.figure(figure.name))
    tables.make(study, layout)
    layout.report.write_text(report.build(study, layout), encoding="utf-8")
    return layout.report


def measured(page: Path) -> list[dict]:
    """What a browser says of `page` in windows of `WIDTHS`."""
    frames = "".join(f'<iframe src="{page.as_uri()}" width="{width}" height="900" style="border:0"></iframe>' for width in WIDTHS)
    harness = page.with_name("harness.html")
    harness.write_text(HARNESS.format(frames=frames), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--virtual-time-budget=20000"]
    command = [BROWSER, *options, "--window-size=1500,1000", f"--user-data-dir={page.parent / 'browser'}", "--dump-dom", harness.as_uri()]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    return json.loads(unescape(re.search(r'<pre id="measured">(.*?)</pre>', said, re.DOTALL)[1]))


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser on this machine")
def test_nothing_is_wider_than_a_window_or_a_phone(page):
    for width, found in zip(WIDTHS, measured(page), strict=True):
        assert found["tables"] > 5
        assert found["scroll"] <= found["width"] <= width, f"at {width} px one has to scroll sideways"
        assert found["wide"] == [] and found["cut"] == [], f"at {width} px"


def test_every_cell_names_its_column_and_tables_turn_into_blocks(page):
    text = page.read_text()
    cells = re.findall(r"<td[^>]*>", text)
    assert len(cells) > 100 and all('data-column="' in cell for cell in cells)
    style = text[: text.index("</style>")]
    assert "@media (max-width: 60rem)" in style and "display: block" in style and "attr(data-column)" in style
    assert "nowrap" not in style and "min-width: 40rem" not in style


def test_the_page_says_question_claims_cards_in_words_and_wall_time(page):
    text = unescape(re.sub(r"<[^>]+>", " ", page.read_text()))
    for said in (
        "Question.  Does it fit?",
        "SENSEI earns more reward than Plan2Explore",
        "chance of being above",
        "Of its clear answers 96.2 % of 800 (95.0 to 97.0 %) prefer the picture shown first; half would, without bias.",
        "Epoch 3 was taken (lowest validation loss: 0.300).",
        "Hyper-parameters",
        "wall time",
    ):
        assert re.sub(r"\s+", " ", said) in re.sub(r"\s+", " ", text), said
    assert "nothing is learned" not in text


def test_a_smoke_study_says_that_nothing_is_learned(tmp_path):
    study, layout = make_study(seeds=(0,), explore_steps=1_000, figures=["interactions"]), Layout(tmp_path)
    write_study(study, layout)
    make(figures_of(study)["interactions"], study, {"scores": layout.scores}, layout.figure("interactions"))
    tables.make(study, layout)
    text = report.build(study, layout)
    assert "This is a smoke study" in text and "nothing is learned" in text and "too few updates to learn anything" in text
