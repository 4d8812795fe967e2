"""What a CUDA graph asks of an update, checked without a card: the same operations on the same shapes whatever the data, nothing that waits
for a value, every new tensor made on the device, no memory that grows.

Both ways of a card are followed: PyTorch's operations (`compile: off`), and the kernels in Triton, which are noted instead of carried out.
"""

import contextlib
import gc

import numpy as np
import pytest
import torch
from fakes.agents import dreamer
from fakes.both_ways import arrays
from fakes.card import interpret
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from sensei.agents.optimiser import Optimiser
from sensei.agents.update import Side
from sensei.kernels.choice import pytorch_only

# They read a value back, or the shape of their result depends on one.
WAIT = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_consecutive", "bincount"}
FACTORIES = {"zeros", "ones", "empty", "full", "arange", "linspace", "rand", "randn", "randint", "randperm", "tensor", "eye", "as_tensor"}


class Device(TorchFunctionMode):
    """Refuses tensors made where nobody said; one-hot vectors are made as CUDA makes them, without a look at the classes."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(function, "__name__", "")
        assert name not in FACTORIES or "device" in kwargs, f"{name}: on which device?"
        if name == "one_hot":
            index, classes = args
            return torch.zeros((*index.shape, classes), dtype=torch.int64, device=index.device).scatter_(-1, index.unsqueeze(-1), 1)
        return function(*args, **kwargs)


class Recorder(TorchDispatchMode):
    """Writes down every operation with the shapes, types and strides that it gets, and refuses those that wait for a value."""

    def __init__(self):
        super().__init__()
        self.written: list = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in WAIT, f"{name} waits for the device"
        if name in ("index", "index_put_"):
            assert all(place is None or place.dtype != torch.bool for place in args[1]), "the number of true values is not known before"
        self.written.append((name, _described(args), _described(kwargs or {})))
        return function(*args, **(kwargs or {}))


def _described(value):
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype, value.stride()
    if isinstance(value, dict):
        return [(key, _described(part)) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [_described(part) for part in value]
    return value if isinstance(value, (int, float, str, torch.dtype, torch.device)) else type(value).__name__


def different_batches(discrete: bool) -> list[dict[str, np.ndarray]]:
    """Noise; then every step the first of an episode; then none, all terminal, without light, great rewards."""
    batch = arrays(discrete)
    ones, zeros = np.ones_like(batch["is_first"]), np.zeros_like(batch["is_first"])
    dark = {"image": np.zeros_like(batch["image"]), "reward": batch["reward"] * 1e6, "action": np.zeros_like(batch["action"])}
    return [batch, batch | {"is_first": ones}, batch | dark | {"is_first": zeros, "is_terminal": ones}]


def record(agent, batches: list, **choices: bool) -> list[list]:
    """What each of some updates consists of, after one that makes the state of the optimisers."""
    agent.update(batches[0])
    recorded = []
    for batch in batches:
        given = agent.batch(batch)
        with Device(), Recorder() as recorder:
            agent.learn(given, **choices)
        recorded.append(recorder.written)
    return recorded


@pytest.fixture
def noted(monkeypatch):
    """Tensors count as on a card, and its kernels are written down instead of carried out."""
    if torch.cuda.is_available():
        pytest.skip("Triton is not interpreted here")
    interpret(monkeypatch)
    interpreter = pytest.importorskip("triton.runtime.interpreter")
    empty = {name: getattr(torch, name.replace("empty", "zeros")) for name in ("empty", "empty_like")}  # what nothing is written into

    class Kernel:
        def __init__(self, kernel):
            self.kernel = kernel

        def __call__(self, *args, **kwargs):
            mode = torch.utils._python_dispatch._get_current_dispatch_mode()
            if isinstance(mode, Recorder):
                mode.written.append((self.kernel.fn.__name__, _described(args), _described(kwargs)))

    monkeypatch.setattr(interpreter.InterpretedFunction, "__getitem__", lambda kernel, grid: Kernel(kernel))
    for name, zeros in empty.items():
        monkeypatch.setattr(torch, name, zeros)


def check(recorded: list[list]) -> None:
    first, *others = recorded
    for other in others:
        different = next((pair for pair in zip(first, other, strict=False) if pair[0] != pair[1]), None)
        assert different is None
        assert len(first) == len(other)


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("phase", ["explore", "learn"])
def test_an_update_by_pytorch_is_the_same_operations_whatever_the_data(discrete, phase):
    with pytorch_only():
        check(record(dreamer(discrete, phase), different_batches(discrete)))


@pytest.mark.parametrize("discrete", [True, False])
def test_an_update_by_the_kernels_of_a_card_is_the_same_operations_whatever_the_data(noted, discrete):
    recorded = record(dreamer(discrete), different_batches(discrete))
    assert {"_enter", "_enter_back", "_draw", "_recur", "_norm_silu_back", "_two_hot_loss_back"} <= {name for name, *_ in recorded[0]}
    check(recorded)


def test_states_imagined_from_are_chosen_without_waiting():
    agent = dreamer(True, starts=5)
    with pytorch_only():
        check(record(agent, different_batches(True)))


OPTIONS = {"corrected_scales": True, "scale_floors": {"disagreement": 0.01}, "actor_uniform_mix": 0.05, "actor_learning_rate": 1e-5}


def test_an_update_with_every_option_is_the_same_operations_and_fewer_while_actors_stand_still():
    agent = dreamer(True, actor_delay=4, **OPTIONS)
    with pytorch_only():
        (still, *_), (_, moving, *others) = (record(agent, different_batches(True), actors_move=moves) for moves in (False, True))
    check([moving, *others])  # the first one that moves makes the state of Adam
    assert len(still) < len(moving)


def test_an_update_without_the_task_behaviour_is_the_same_operations_and_fewer():
    agent = dreamer(True)
    with pytorch_only():
        (whole, *_), recorded = record(agent, different_batches(True)), record(agent, different_batches(True), with_task=False)
    check(recorded)
    assert len(recorded[0]) < 0.8 * len(whole)


class Watched(Side):
    """Refuses to be waited for when it had no work in this update, as a graph that is being captured does, and notes what is left."""

    worked, waited_for = False, True

    @contextlib.contextmanager
    def work(self):
        self.worked, self.waited_for = True, False
        yield

    def join(self):
        assert self.worked, "a graph may not wait for what lies outside of it"
        self.waited_for = True


@pytest.mark.parametrize("actors_move", [True, False])
@pytest.mark.parametrize("phase, with_task", [("explore", True), ("explore", False), ("learn", True)])
def test_an_update_waits_for_the_work_beside_it_and_for_nothing_else(phase, with_task, actors_move):
    agent = dreamer(True, phase)
    agent.sides = {name: Watched() for name in agent.sides}
    agent.learn(agent.batch(arrays(True)), with_task, actors_move)
    assert all(side.waited_for for side in agent.sides.values())


@pytest.mark.slow
@pytest.mark.parametrize("discrete", [True, False])
def test_an_update_is_traced_as_one_graph(monkeypatch, discrete):
    """But for its random numbers, which are given, and for going back and moving, of which torch traces neither."""
    monkeypatch.setattr(Optimiser, "backward", lambda self, loss: None)
    monkeypatch.setattr(Optimiser, "move", lambda self: torch.zeros(()))
    for name in ("rand", "randn"):
        monkeypatch.setattr(torch, name, lambda shape, generator, device: torch.full(tuple(shape), 0.3, device=device))
    torch._dynamo.reset()
    agent = dreamer(discrete)
    batch = agent.batch(arrays(discrete))
    with pytorch_only():
        traced = torch.compile(agent.learn, fullgraph=True, backend="eager", dynamic=False)(batch)
    assert all(torch.isfinite(value) for value in traced.values())


def test_a_value_read_back_or_a_tensor_made_elsewhere_would_be_found():
    for fault in (lambda: torch.ones(2, device="cpu").sum().item(), lambda: torch.arange(3), lambda: bool(torch.ones(1, device="cpu"))):
        with pytest.raises(AssertionError), Device(), Recorder():
            fault()
    mask = torch.tensor([True, False])
    with pytest.raises(AssertionError), Recorder():
        torch.ones(2)[mask]


def test_memory_does_not_grow():
    agent, batch = dreamer(True), arrays(True)
    with pytorch_only():
        for _ in range(2):
            agent.update(batch)
        before = _tensors()
        for _ in range(3):
            agent.update(batch)
        assert _tensors() == before


def _tensors() -> tuple[int, int]:
    """How many tensors there are, and their bytes."""
    gc.collect()
    alive = [part for part in gc.get_objects() if type(part) in (torch.Tensor, torch.nn.Parameter)]
    return len(alive), sum(tensor.nbytes for tensor in alive)
