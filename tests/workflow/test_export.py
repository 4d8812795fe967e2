"""A study as one archive and back: made for real by the workflow, packed, drawn again in an empty folder; what is damaged is refused."""

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import mlcroissant
import pandas as pd
import pytest
from helpers import ROOT, planned, run_python, snakemake

from sensei.core.errors import SenseiError
from sensei.core.files import sha256
from sensei.study import croissant
from sensei.study.export import export, unpack
from sensei.study.layout import Layout
from sensei.study.load import load_study, read_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TOYS = ROOT / "tests" / "fakes" / "toys.yaml"
DRAWN = {"tabulate", "figure", "tables", "report", "all"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Layout:
    """The toy study, finished by the workflow, with one figure that reads episodes."""
    folder = tmp_path_factory.mktemp("made")
    figures = 'figures=["interactions", "learn", "semantic_reward"]'
    result = snakemake("--cores", "2", "--configfile", TOYS, "--config", figures, cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return Layout(folder / "results" / "toys")


@pytest.fixture(scope="module")
def archive(made) -> Path:
    """The study packed by the command."""
    result = run_python("-m", "sensei", "export", "--study", "toys", cwd=made.root.parent.parent)
    assert result.returncode == 0 and str(made.archive.name) in result.stdout, result.stderr
    return made.archive


def test_an_archive_draws_the_study_again_and_trains_nothing(made, archive, tmp_path):
    laid = run_python("-m", "sensei", "unpack", archive, cwd=tmp_path)
    assert laid.stdout.strip() == "results/toys/study.yaml", laid.stderr
    drawn = Layout(tmp_path / "results" / "toys")
    arguments = ("--configfile", laid.stdout.strip(), "--rerun-triggers", "mtime")
    assert planned(snakemake("-n", *arguments, cwd=tmp_path)) == {"tabulate": 1, "figure": 3, "tables": 1, "report": 1, "all": 1}
    result = snakemake("--cores", "2", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    numbers = [*made.root.glob("figures/*.csv"), *made.root.glob("tables/*.csv"), made.scores]
    assert len(numbers) >= 3 + 3 + 1
    for path in numbers:
        assert (drawn.root / path.relative_to(made.root)).read_bytes() == path.read_bytes(), path.name
    assert drawn.report.exists()
    assert planned(snakemake("-n", *arguments, cwd=tmp_path)) == {}

    study, again = read_study(drawn.study), tmp_path / "again.tar.gz"
    export(study, drawn, again)
    with tarfile.open(archive) as first, tarfile.open(again) as second:
        raw = [name for name in first.getnames() if "scores" not in name and "croissant" not in name]
        assert [name for name in raw if first.extractfile(name).read() != second.extractfile(name).read()] == []
    assert unpack(archive, tmp_path / "results").root == drawn.root and drawn.report.exists()


def test_nothing_is_trained_where_another_study_of_that_name_was_made_and_deleted(made, archive, tmp_path):
    folder = tmp_path / "used"
    shutil.copytree(made.root.parent.parent / ".snakemake" / "metadata", folder / ".snakemake" / "metadata")
    study = unpack(archive, folder / "results").study
    for path in (folder / ".snakemake" / "metadata").iterdir():
        if path.is_file():
            path.write_text(path.read_text().replace("code", "other"))
    jobs = planned(snakemake("-n", "--configfile", study, "--rerun-triggers", "mtime", cwd=folder))
    assert set(jobs) == DRAWN


def test_make_draws_an_export(archive):
    plan = subprocess.run(["make", "-n", "figures", f"EXPORT={archive}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"sensei unpack {archive}" in plan and "sensei make $study --cores all --rerun-triggers mtime" in plan


def test_equal_results_give_equal_bytes(made, archive, tmp_path):
    export(read_study(made.study), made, tmp_path / "other.tar.gz")
    assert sha256(tmp_path / "other.tar.gz") == sha256(archive)


def test_what_is_large_is_packed_on_request(made, archive, tmp_path):
    export(read_study(made.study), made, tmp_path / "all.tar.gz", frozenset({"checkpoints", "frames"}))
    more = {name.removesuffix(".manifest.json") for name in set(members(tmp_path / "all.tar.gz")) - set(members(archive))}
    assert {name.rpartition("/")[2] for name in more} == {"agent.pt", "pairs.frames.npz"}
    assert len(more) == 5
    episodes = {name for name in members(archive) if "/episodes/" in name}
    assert len(episodes) == 1 < len([*made.collect("toy_keydoor", 0).episodes.iterdir()])


def test_croissant_reads_the_records(made, archive, tmp_path):
    described = unpack(archive, tmp_path).croissant
    scores = described.with_name("scores.parquet")
    with tarfile.open(archive) as tar:
        scores.write_bytes(tar.extractfile("toys/scores.parquet").read())
    data = mlcroissant.Dataset(jsonld=described)
    assert not data.metadata.issues.errors
    table = pd.read_parquet(made.scores)
    records = list(data.records("scores"))
    assert [record["scores/value"] for record in records] == table["value"].tolist()
    assert [record["scores/metric"].decode() for record in records] == table["metric"].tolist()
    labels = list(data.records("labels_of_toy_keydoor_by_oracle"))
    assert len(labels) == 40
    for place, digest in croissant.checksums(json.loads(described.read_text())).items():
        assert place.startswith("scores.parquet.manifest") or sha256(described.parent / place) == digest


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {name: tar.extractfile(name).read() for name in tar.getnames()}


def packed(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue())


def without(archive: Path, end: str) -> bytes:
    return packed({name: content for name, content in members(archive).items() if not name.endswith(end)})


def beside(archive: Path, place: str) -> bytes:
    """An archive with one file more, of which its description knows."""
    files = members(archive)
    content = json.loads(files["toys/croissant.json"])
    content["distribution"].append({"contentUrl": place, "sha256": hashlib.sha256(b"evil").hexdigest()})
    return packed(files | {"toys/croissant.json": json.dumps(content).encode(), f"toys/{place}": b"evil"})


def holed(archive: Path, place: str) -> bytes:
    """An archive with a sparse file of a terabyte, in GNU's format."""
    raw, entry = io.BytesIO(gzip.decompress(beside(archive, place))), tarfile.TarInfo(f"toys/{place}")
    entry.type, entry.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[386:410], header[483:495] = b"%011o\0" % 2**40 + b"%011o\0" % 0, b"\x80" + (2**40).to_bytes(11)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    end = raw.getvalue().rfind(f"toys/{place}".encode())
    return gzip.compress(raw.getvalue()[:end] + bytes(header) + bytes(1024))


DAMAGE = {
    "cut short": lambda archive: archive.read_bytes()[: archive.stat().st_size // 2],
    "no archive": lambda archive: b"a page of an error",
    "empty": lambda archive: b"",
    "empty archive": lambda archive: packed({}),
    "its end is damaged": lambda archive: archive.read_bytes()[:-8] + bytes(8),
    "a file is another": lambda archive: packed(members(archive) | {"toys/study.yaml": b"study: other"}),
    "a file is missing": lambda archive: without(archive, "plan2explore/seed0/events.parquet"),
    "nothing is described": lambda archive: packed(members(archive) | {"toys/croissant.json": b"[]"}),
    "no description": lambda archive: without(archive, "croissant.json"),
    "a file too many": lambda archive: packed(members(archive) | {"toys/more": b"more"}),
    "out of its folder": lambda archive: beside(archive, "../../evil"),
    "at a place of its own": lambda archive: beside(archive, str(archive.with_name("evil"))),
    "a module, which its study might name": lambda archive: beside(archive, "evil.py"),
    "the state of a run, which is believed": lambda archive: beside(archive, "toy_keydoor/explore/x/seed0/checkpoint/state.pt"),
    "a hole in place of a file": lambda archive: holed(archive, "more"),
    "its description is a bomb": lambda archive: packed(members(archive) | {"toys/croissant.json": b"[" * 100_000}),
    "another study": lambda archive: packed({name.replace("toys/", "other/", 1): content for name, content in members(archive).items()}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_archives_are_refused_and_leave_nothing(archive, damage, tmp_path):
    path = tmp_path / "bad.tar.gz"
    path.write_bytes(DAMAGE[damage](archive))
    with pytest.raises(SenseiError, match="is damaged, or no export of a study"):
        unpack(path, tmp_path / "results")
    assert list((tmp_path / "results").iterdir()) == [] and not (tmp_path / "evil").exists()


def test_another_study_in_the_folder_is_left_alone(archive, tmp_path):
    other = Layout(tmp_path / "toys")
    other.root.mkdir()
    other.study.write_text("mine")
    with pytest.raises(SenseiError, match="is there already, and not from"):
        unpack(archive, tmp_path)
    assert other.study.read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == ["toys"]


def test_what_is_missing_or_damaged_is_named_before_anything_is_written(made, tmp_path):
    copy = Layout(tmp_path / "results" / "toys")
    shutil.copytree(made.root, copy.root, symlinks=True)
    study = read_study(copy.study)
    lost = copy.learn("toy_keydoor", "keydoor", "ppo", 0).events
    lost.unlink()
    with pytest.raises(SenseiError, match=f"is not finished: there is no {lost}"):
        export(study, copy, copy.archive)
    lost.write_bytes(b"other")
    with pytest.raises(SenseiError, match=f"{lost} is damaged"):
        export(study, copy, copy.archive)
    assert not copy.archive.exists()
    refused = run_python("-m", "sensei", "export", "--study", "nobody", cwd=tmp_path)
    assert refused.returncode == 2 and "there is no study nobody" in refused.stderr


def test_a_resolved_study_is_a_study_file(made):
    assert load_study(made.study) == read_study(made.study)
