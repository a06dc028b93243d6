"""Small measurements of latency, and what they run."""

from contextlib import contextmanager

import pytest
from torch.nn.modules.module import register_module_forward_hook

from pinas_mm.operations.split_attention import SplitAttentionBlock
from pinas_mm.search.budget.latency import measure_latency
from pinas_mm.search.budget.latency_file import cached_latency
from pinas_mm.search.budget.latency_options import LatencyOptions
from pinas_mm.space import SearchSpace

QUICK = dict(image_size=16, repeats=1, num_threads=1, check=0)


@pytest.fixture(scope="module")
def deep():
    """Blocks that stand in different places and do the same."""
    return SearchSpace(
        candidates=[(1, 1, 64), (2, 1, 64)],
        depths=(4, 3),
        widths=(8, 16),
        strides=(1, 2),
        expansion=2,
        stem_widths=(4, 4, 8),
    )


def measured_latency(space, model=None, image=None, progress=None, **options):
    """The table of these options."""
    return measure_latency(space, LatencyOptions(**options), model, image, progress)


def kept_latency(path, space, model=None, **options):
    """The same, by way of a file."""
    return cached_latency(path, space, LatencyOptions.build(options), model)


@contextmanager
def blocks_run():
    """Collects each block that runs here: (type of operation, input shape), by block.

    The block itself is the key: only that keeps it alive, so that no later one gets its address.
    """
    found = {}

    def hook(module, inputs, output):
        if isinstance(module, SplitAttentionBlock):
            operation = repr(module), tuple(inputs[0].shape)
            assert not module.training
            assert found.setdefault(module, operation) == operation

    handle = register_module_forward_hook(hook)
    try:
        yield found
    finally:
        handle.remove()
