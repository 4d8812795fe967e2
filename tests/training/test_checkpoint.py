"""Checkpoints: equal content is equal bytes. Damage, resuming and refusals: test_resume.py."""

import pickle

import torch

from sensei.training.checkpoint import load, plain, save


def test_the_name_of_a_file_is_not_in_it(tmp_path):
    state = {"weights": torch.arange(3.0), "step": 7}
    for name in ("one.pt", "another.pt"):
        save(tmp_path / name, state)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "another.pt").read_bytes()
    assert load(tmp_path / "one.pt")["weights"].tolist() == [0, 1, 2]


def test_plain_content_is_saved_alike_whatever_is_shared(tmp_path):
    """As in a resumed run, whose text and tuples are not the objects that a run made anew has."""

    def content(copied):
        betas, text = (0.9, 0.999), "exp_avg"
        return {
            "a": [copied(betas), {copied(text): torch.ones(2)}],
            "b": [copied(betas), {copied(text): torch.zeros(2)}],
            copied(text): "b",
        }

    shared, apart = content(lambda value: value), content(lambda value: pickle.loads(pickle.dumps(value)))
    for file, state in (("shared", shared), ("apart", apart)):
        save(tmp_path / file, plain(state))
        save(tmp_path / f"{file} as it is", state)
    assert (tmp_path / "shared").read_bytes() == (tmp_path / "apart").read_bytes()
    assert (tmp_path / "shared as it is").read_bytes() != (tmp_path / "apart as it is").read_bytes()
    assert load(tmp_path / "apart")["a"][0] == (0.9, 0.999)
