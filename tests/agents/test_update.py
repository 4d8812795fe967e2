"""One update in other ways: by our kernels, by PyTorch's own operations, compiled; all must learn the same."""

import pytest
from fakes.agents import dreamer
from fakes.both_ways import arrays, assert_same_agent

from sensei.kernels import products
from sensei.kernels.choice import everything, pytorch_only, taking


@pytest.mark.parametrize("discrete", [True, False])
def test_ten_updates_by_our_kernels_are_those_of_pytorch(monkeypatch, discrete):
    monkeypatch.setattr(products, "SMALL", 0)
    ours, plain, batch = dreamer(discrete, "explore"), dreamer(discrete, "explore"), arrays(discrete)
    updates = []
    with taking(everything()):
        for _ in range(10):
            given = ours.update(batch)
            with pytorch_only():
                updates.append((given, plain.update(batch)))
    assert_same_agent(ours, plain, updates)


def test_nothing_is_compiled_on_a_cpu_by_default():
    assert not dreamer(True, "explore").one_update.captures
    assert dreamer(True, "explore").settings.training.compile == "auto"


@pytest.mark.slow
def test_ten_compiled_updates_are_the_eager_ones():
    eager, compiled, batch = dreamer(True, "explore"), dreamer(True, "explore", compile="full"), arrays(True)
    updates = [(compiled.update(batch), eager.update(batch)) for _ in range(10)]
    assert_same_agent(compiled, eager, updates)
