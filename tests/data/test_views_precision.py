"""Views do not depend on the precision of the step they are made for."""

import pytest
import torch

from pinas_mm.data.views import ViewsPreprocessor
from pinas_mm.engine import AmpOptimWrapper

IMAGES = torch.randint(0, 256, (6, 3, 20, 24), generator=torch.Generator().manual_seed(0)).byte()
# Everything happens to some image: crops, colors, gray, blur.
AUGMENT = dict(size=16, jitter=0.8, gray=0.3, blur=0.7)
CROPPED = dict(AUGMENT, size=None)


def views(augment, training=True):
    preprocess = ViewsPreprocessor(num_views=2, augment=augment)
    return preprocess(dict(inputs=list(IMAGES)), training=training)["inputs"]


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for view, other in zip(found, expected, strict=True):
        assert view.dtype == torch.float32
        assert torch.equal(view, other)


@pytest.mark.parametrize("augment", [AUGMENT, CROPPED], ids=["crops", "cropped before"])
@pytest.mark.parametrize("training", [True, False])
def test_views_under_autocast_are_equal_to_the_bit(at_iteration, augment, training):
    at_iteration(3, 5)
    expected = views(augment, training)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        # What the views are safe from.
        assert (torch.eye(2) @ torch.eye(2)).dtype == torch.bfloat16
        assert_equal(views(augment, training), expected)
        # It is off in there only.
        assert (torch.eye(2) @ torch.eye(2)).dtype == torch.bfloat16


def test_the_parts_alone_would_lose_precision(at_iteration):
    at_iteration(3, 5)
    expected = views(AUGMENT)
    preprocess = ViewsPreprocessor(num_views=2, augment=AUGMENT)
    crops = preprocess.batches(dict(inputs=list(IMAGES)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = preprocess.make_views(crops, 3, 5)
    assert not torch.equal(found[0].float(), expected[0])


def test_a_step_in_mixed_precision_makes_the_same_views(build_pinas, at_iteration):
    model = build_pinas(**{"data_preprocessor.augment": dict(size=32, blur=0.7)})
    seen, expected = [], []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["inputs"]), with_kwargs=True
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    wrapper = AmpOptimWrapper(optimizer=optimizer, dtype="bfloat16")
    for iteration in range(2):
        at_iteration(0, iteration)
        data = dict(inputs=list(IMAGES))
        expected.append(model.data_preprocessor(data, True)["inputs"])
        log = model.train_step(data, wrapper)
        assert log["loss"].isfinite()
    for found, wanted in zip(seen, expected, strict=True):
        assert_equal(found, wanted)
