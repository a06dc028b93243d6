"""What a record keeps of the images: the same in every process and on every machine."""

import functools
import json

import pytest

from pinas_mm.search.search import _of_images


class Plain:
    """An object that shows only where it lies in memory."""


def collate(batch):
    return batch


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (collate, f"{__name__}.collate"),
        (Plain, f"{__name__}.Plain"),
        (Plain(), f"<{__name__}.Plain object>"),
        (functools.partial(collate, 1), "functools.partial(<function collate>, 1)"),
        ((1, (2.5, None)), [1, [2.5, None]]),
        ({"data_root": "/here", "split": "val"}, {"split": "val"}),
    ],
)
def test_nothing_of_this_process_or_machine_is_kept(value, kept):
    loader = dict(dataset=dict(x=value), batch_size=2, num_workers=3)
    found = _of_images(loader)
    assert found == dict(dataset=dict(x=kept), batch_size=2)
    assert json.loads(json.dumps(found)) == found
