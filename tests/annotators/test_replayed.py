"""Labels from a file: the three kinds, the pairs' own order, and what bad files get."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.annotating import annotate, merge, options, write_pairs
from PIL import Image

from sensei.annotators.replayed import read_label_file
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Label
from sensei.preferences.tables import read_labels

CODES = np.random.default_rng(0).integers(0, 4, 40)


def write(path: Path, codes: np.ndarray = CODES) -> Path:
    table = pd.DataFrame({"pair": np.arange(len(codes)), "label": codes})
    match path.suffix:
        case ".csv":
            table.to_csv(path, index=False)
        case ".parquet":
            table.iloc[::-1].to_parquet(path)
        case ".npy":
            np.save(path, codes)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_labels_come_back_as_they_were(tmp_path, suffix):
    pairs, config = write_pairs(tmp_path, 40), options("replayed", file=str(write(tmp_path / f"own{suffix}")))
    replies = [reply for shard in range(2) for reply in annotate(pairs, tmp_path / f"shard{shard}.jsonl", config, shard, 2)]
    assert {reply.swapped for reply in replies} == {True, False}
    merge(tmp_path, pairs, *(tmp_path / f"shard{shard}.jsonl" for shard in range(2)))
    assert read_labels(tmp_path / "labels.parquet")["label"].tolist() == CODES.tolist()


def test_a_pair_without_a_label_is_no_unknown(tmp_path):
    (tmp_path / "own.csv").write_text("pair,label,note\n0,1,a\n2,,b\n3,3,c\n")
    pairs = write_pairs(tmp_path, 4)
    annotate(pairs, tmp_path / "shard0.jsonl", options("replayed", file=str(tmp_path / "own.csv")))
    card = merge(tmp_path, pairs, tmp_path / "shard0.jsonl")
    assert (card["errors"], card["counts"]["unknown"]) == (2, 1)
    assert read_labels(tmp_path / "labels.parquet")["label"].fillna(-1).tolist() == [1, -1, -1, 3]


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("own.csv", "pair,label\n0,4\n", "pair 0 with label 4"),
        ("own.csv", "pair,label\n0,0.5\n", "label 0.5"),
        ("own.csv", "pair,label\n0,1\n0,1\n", "each pair once"),
        ("own.csv", "pair,label\n-1,1\n", "pair -1"),
        ("own.csv", "pair,answer\n0,1\n", "columns `pair` and `label`"),
        ("own.csv", "", "damaged"),
        ("own.parquet", "no parquet", "damaged"),
        ("own.npy", "no array", "damaged"),
        ("own.json", "[]", "ends in .csv, .parquet, .npy"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SenseiError, match=f"{name}[\\s\\S]*{words}"):
        read_label_file(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(SenseiError, match="there is no file .*none.csv"):
        read_label_file(tmp_path / "none.csv")
    np.save(tmp_path / "own.npy", np.zeros((2, 2), int))
    with pytest.raises(SenseiError, match="damaged.*shape"):
        read_label_file(tmp_path / "own.npy")


def test_label_codes_are_the_published_ones(tmp_path):
    assert read_label_file(write(tmp_path / "own.npy", np.arange(4))) == dict(enumerate(Label))


def put(what: str, path: Path) -> None:
    """Something in the place of a file of labels."""
    match what:
        case "folder":
            path.mkdir()
        case "picture":
            Image.new("RGB", (9, 9)).save(path, "png")
        case "gzip":
            path.write_bytes(gzip.compress(b"pair,label\n0,1\n"))
        case "several arrays":
            with open(path, "wb") as file:
                np.savez(file, a=np.zeros(3), b=np.zeros(3))
        case "half a zip":
            path.write_bytes(b"PK\3\4" + bytes(30))
        case "objects":
            with open(path, "wb") as file:
                np.save(file, np.array([{}], object))
        case "nothing":
            path.touch()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
@pytest.mark.parametrize("what", ["folder", "picture", "gzip", "several arrays", "half a zip", "objects", "nothing"])
def test_what_is_no_file_of_labels_is_named(tmp_path, what, suffix):
    path = tmp_path / f"labels{suffix}"
    put(what, path)
    with pytest.raises(SenseiError, match=f"the labels {path} are damaged") as caught:
        read_label_file(path)
    assert len(str(caught.value).splitlines()) <= 2
