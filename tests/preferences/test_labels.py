"""Shards become labels and a card: each pair once, damaged lines named."""

import json

import pytest
from fakes.annotating import annotate, merge, write_pairs

from sensei.core.errors import SenseiError
from sensei.preferences.tables import read_labels


@pytest.mark.parametrize(
    "line", ["{torn", "3", '{"pair": 1}', '{"pair": "1", "swapped": true, "text": "", "answer": "TIE", "error": null}',
             '{"pair": 1, "swapped": true, "text": "", "answer": "BOTH", "error": null}',
             '{"pair": 1, "swapped": true, "text": "", "answer": null, "error": null}']
)  # fmt: skip
def test_a_damaged_shard_is_named_with_its_line(tmp_path, line):
    pairs, output = write_pairs(tmp_path, 5), tmp_path / "shard0.jsonl"
    annotate(pairs, output)
    lines = output.read_text().splitlines()
    output.write_text("\n".join([lines[0], line, *lines[2:]]) + "\n")
    with pytest.raises(SenseiError, match=r"shard0.jsonl, line 2, is damaged"):
        merge(tmp_path, pairs, output)
    assert not (tmp_path / "labels.parquet").exists()


def test_shards_must_answer_each_pair_once(tmp_path):
    pairs = write_pairs(tmp_path, 10)
    shards = [tmp_path / f"shard{shard}.jsonl" for shard in range(2)]
    for shard, path in enumerate(shards):
        annotate(pairs, path, shard=shard, shards=2)
    with pytest.raises(SenseiError, match="no shard answers pair 1: found 5 replies, expected 10"):
        merge(tmp_path, pairs, shards[0])
    with pytest.raises(SenseiError, match="shard1.jsonl answers pair 1, which is not its own"):
        merge(tmp_path, pairs, *shards, shards[1])
    with pytest.raises(SenseiError, match="there is no file .*shard7"):
        merge(tmp_path, pairs, tmp_path / "shard7.jsonl")
    card = merge(tmp_path, pairs, *shards)
    assert card == json.loads((tmp_path / "card.json").read_text())
    table = read_labels(tmp_path / "labels.parquet")
    assert table["pair"].tolist() == list(range(10))
    assert (table["label"] == table["oracle"]).all()
    assert card["oracle"]["kappa"] == 1
