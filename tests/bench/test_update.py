"""The benchmark of an update: what it prints, what it counts, and which checkouts it knows."""

import json

import numpy as np
import pytest
from helpers import run_python
from torch.utils.flop_counter import FlopCounterMode

from sensei.bench import peers
from sensei.bench.floor import floor
from sensei.bench.workload import BATCHES, ours, workload
from sensei.kernels.choice import pytorch_only

OPTIONS = {"image_size": 16, "horizon": 15, "starts": 8, "members": 2, "tasks": 3}
OPTIONS |= {"compile": "off", "device": "cpu", "precision": "float32", "threads": 1}


@pytest.mark.slow
def test_it_prints_times_memory_floor_and_machine(tmp_path):
    arguments = [
        "--size",
        "XS",
        "--batch",
        "2x8",
        "--image",
        "32",
        "--starts",
        "8",
        "--threads",
        "1",
        "--repeats",
        "2",
        "--json",
        "out.json",
    ]
    done = run_python("-m", "sensei", "bench", "update", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "out.json").read_text())
    assert result["batch"] == [2, 8]
    for method in ("dreamerv3", "plan2explore"):
        mine = result["results"][method]["ours"]
        assert 0 < mine["minimum_ms"] <= mine["median_ms"]
        assert mine["transitions_per_second"] == pytest.approx(16_000 / mine["median_ms"], rel=1e-2)
        assert mine["peak_mb"] > 100
        assert result["results"][method]["floor"]["gflops"] > 0
    assert result["machine"]["packages"]["torch"]


@pytest.mark.parametrize("method", ["dreamerv3", "plan2explore", "sensei"])
def test_our_update_runs_on_its_workload(method):
    agent, step = ours(workload("XS", (2, 8), method, **OPTIONS))
    metrics = step()
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert ("disagreement" in agent.sources) == (method != "dreamerv3")
    assert ("loss/tasks" in metrics) == (method != "dreamerv3"), "heads for other tasks belong to exploration"


def test_the_floor_counts_the_products_of_an_update():
    work = workload("XS", (2, 8), "dreamerv3", **OPTIONS)
    counted = floor(work, {"matrix_gflops": 2.0, "convolution_gflops": 1.0})
    _, step = ours(work)
    with pytorch_only(), FlopCounterMode(display=False) as counter:  # it does not know oneDNN's product
        step()
    assert counted["gflops"] == pytest.approx(counter.get_total_flops() / 1e9)
    products = counted["gflops"] - counted["convolution_gflops"]
    assert counted["milliseconds"] == pytest.approx(1000 * (products / 2 + counted["convolution_gflops"]))


def test_every_batch_belongs_to_a_preset_and_continuous_actions_to_m():
    for size in BATCHES:
        work = workload(size, (1, 4), "dreamerv3", **OPTIONS)
        assert work["discrete"] == (size != "M")
        assert work["model_action"].shape == (1, 4, 5 if size == "M" else 9)


def test_a_peer_is_known_by_its_files(tmp_path):
    assert peers.kind(tmp_path) is None
    (tmp_path / "sheeprl" / "algos" / "dreamer_v3").mkdir(parents=True)
    assert peers.kind(tmp_path) == "sheeprl"
    other = tmp_path / "other"
    other.mkdir()
    for name in ("models.py", "networks.py", "exploration.py", "configs.yaml"):
        assert peers.kind(other) is None
        (other / name).touch()
    assert peers.kind(other) == "dreamerv3-torch"


def test_a_checkout_that_is_no_peer_or_lacks_its_packages_is_a_clear_error(tmp_path):
    done = run_python("-m", "sensei", "bench", "update", "--against", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "no known implementation" in done.stderr.splitlines()[-1]
    broken = tmp_path / "dreamerv3-torch"
    broken.mkdir()
    for name in ("networks.py", "exploration.py", "configs.yaml"):
        (broken / name).touch()
    (broken / "models.py").write_text("import a_package_nobody_has\n")
    code = f"""
import sys
from pathlib import Path
from sensei.bench.update import _peer, side_by_side
from sensei.bench.workload import workload
work = workload("XS", (1, 4), "dreamerv3", **{OPTIONS})
side_by_side(work, {{"dreamerv3-torch": _peer(Path({str(broken)!r}), sys.executable)}}, 1, False)
"""
    done = run_python("-c", code, cwd=tmp_path)
    assert "a_package_nobody_has is missing" in done.stderr
    assert "--peer-python" in done.stderr


def test_implementations_take_turns(tmp_path):
    """Two processes that note when they are asked: one update of each in turn, the first two not counted."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, pickle, sys\n"
        "pickle.load(sys.stdin.buffer)\n"
        "print(json.dumps({}), flush=True)\n"
        "for _ in sys.stdin.buffer:\n"
        "    open('order', 'a').write(sys.argv[1])\n"
        "    print(json.dumps({'milliseconds': 2.0, 'cpu_milliseconds': 1.0, 'peak_mb': 3.0}), flush=True)\n"
    )
    code = f"""
import sys
from sensei.bench.update import side_by_side
print(side_by_side({{}}, {{name: [sys.executable, {str(script)!r}, name] for name in "ab"}}, 3, True)["b"]["repeats"])
"""
    done = run_python("-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "3", done.stderr
    assert (tmp_path / "order").read_text() == "ab" * 5
