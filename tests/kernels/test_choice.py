"""What computes an operation: measured once per machine, recorded, and kept by a run that goes on elsewhere."""

import threading

import pytest
import torch
from fakes.both_ways import refuse

from sensei.kernels import choice, library, measure
from sensei.kernels.choice import Decision


@pytest.fixture
def fresh(tmp_path, monkeypatch, in_c):
    """An empty cache folder, and no decision taken."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.load.cache_clear()
    choice.everything.cache_clear()
    with choice.taking(choice.everything()):
        choice.forget()
        yield tmp_path
    library.load.cache_clear()
    choice.everything.cache_clear()


def test_every_operation_has_a_case_that_measures_it():
    assert sorted(case.operation for case in measure.cases()) == sorted(choice.OPERATIONS)


@pytest.mark.parametrize("case", list(measure.cases()), ids=lambda case: case.operation)
def test_what_is_measured_is_the_same_by_both(case):
    results = []
    for ours in (choice.OPERATIONS, choice.OPERATIONS - {case.operation}):
        with choice.taking(choice.everything()._replace(ours=choice.everything().ours & ours)):
            value = case.compute()
            value = value if isinstance(value, torch.Tensor) else value[1]
            results.append([value, *(torch.autograd.grad(value, case.leaves, torch.ones_like(value)) if case.leaves else ())])
    for given, expected in zip(*results, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


def test_it_is_measured_once_and_taken_where_ours_is_faster(fresh, monkeypatch):
    decision = measure.decide()
    found = measure.measured()
    assert decision == choice.decision()
    assert decision.instructions == found["instructions"] == library.available()[0]
    for name, way in found["operations"].items():
        assert way["ours"] == (name in decision.ours) == (way["ours_ms"] < measure.WORTH * way["pytorch_ms"])
    assert found["operations"].keys() == choice.OPERATIONS
    monkeypatch.setattr(measure, "_measure", refuse)
    choice.forget()
    assert measure.decide() == decision
    with pytest.raises(AssertionError, match="a kernel was called"):
        measure.measured(again=True)


def test_a_damaged_decision_is_measured_again(fresh, monkeypatch):
    way = {"ours_ms": 1.0, "pytorch_ms": 2.0, "ours": True}
    monkeypatch.setattr(measure, "_measure", lambda _: {"draw": way})
    assert measure.decide().ours == {"draw"}
    (path,) = fresh.rglob("decision-*.json")
    path.write_text("{")
    choice.forget()
    assert measure.decide().ours == {"draw"}


def test_other_processors_and_limits_have_decisions_of_their_own(fresh, monkeypatch):
    monkeypatch.setattr(measure, "_measure", lambda _: {})
    measure.measured()
    monkeypatch.setattr(measure, "processor", lambda: "another one")
    measure.measured()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "another")
    measure.measured()
    assert len(list(fresh.rglob("decision-*.json"))) == 3


def test_a_run_keeps_its_decision(fresh, caplog):
    recorded = Decision("plain", frozenset({"draw", "product large"})).as_json()
    choice.use(recorded)
    assert measure.decide().as_json() == recorded, "what is recorded goes before what is measured"
    assert not caplog.messages


def test_a_run_says_what_it_cannot_keep(fresh, caplog):
    choice.use({"instructions": "another", "ours": ["draw", "product large"]})
    assert choice.decision() == Decision(library.available()[0], frozenset({"draw", "product large"}))
    assert "computed with another, which this machine has not" in caplog.messages[0]
    caplog.clear()
    choice.use({"instructions": library.available()[0], "ours": ["draw", "of the past"]})
    assert choice.decision().ours == {"draw"}
    assert "no kernels for of the past" in caplog.messages[0]


def test_pytorch_only_is_for_one_thread():
    x, seen = torch.ones(2), []
    with choice.pytorch_only():
        assert not choice.ours("draw", x)
        thread = threading.Thread(target=lambda: seen.append(choice.ours("draw", x)))
        thread.start()
        thread.join()
    assert seen == [True] and choice.ours("draw", x)


def test_ours_is_for_float32_on_a_cpu_outside_autocast():
    assert not choice.ours("draw", torch.ones(2, dtype=torch.float64))
    assert not choice.ours("draw", torch.ones(2, device="meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not choice.ours("draw", torch.ones(2))
