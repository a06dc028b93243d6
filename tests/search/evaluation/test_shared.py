"""Images in memory once: another process has the same ones, and neither writes into the other's."""

import subprocess
import sys

import torch
from mmengine.structures import BaseDataElement

from pinas_mm.handing import handed
from pinas_mm.search.evaluation.images import Batches
from pinas_mm.search.evaluation.shared import share

OTHER = """
import sys, time
from pathlib import Path
from pinas_mm.handing import received
first, = received().batches()["images"].kept
assert first["data_samples"][0].name == "a"
before = int(first["inputs"][0].sum())
Path(sys.argv[1] + ".read").touch()
while not Path(sys.argv[1]).exists():
    time.sleep(0.05)
first["inputs"][0].add_(1)
print(before, int(first["inputs"][0].sum()))
"""


def batch(image):
    return dict(inputs=[image], data_samples=[BaseDataElement(metainfo=dict(name="a"))])


def kept(*batches, metainfo=None):
    return Batches.of(batches, metainfo)


def test_batches_are_what_they_were():
    images = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8)
    odd = [
        images[0],
        images[1].transpose(1, 2),
        images[2].bfloat16(),
        images[:0],
        images[3].double(),
    ]
    batches = kept(*map(batch, odd), metainfo=dict(classes=("a",)))
    read_again = Batches(lambda: iter(()), [1])
    with share(dict(images=batches, calibration=read_again)) as shared:
        found = shared.batches()
    assert [*found] == ["images"]
    images = found["images"]
    assert (images.sizes, images.metainfo) == (batches.sizes, batches.metainfo)
    for one, other in zip(images, batches, strict=True):
        assert one["inputs"][0].dtype == other["inputs"][0].dtype
        assert one["inputs"][0].equal(other["inputs"][0])
        assert one["data_samples"][0].name == "a"
    # Also a second time.
    assert len(list(images)) == len(odd)


def test_another_process_has_them_and_writes_to_its_own(tmp_path):
    image = torch.ones(3, 8, 8, dtype=torch.uint8)
    with share(dict(images=kept(batch(image)))) as shared, handed(shared) as stdin:
        process = subprocess.Popen(
            [sys.executable, "-c", OTHER, tmp_path / "go"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[shared.file],
        )
        own = shared.batches()["images"].kept[0]["inputs"][0]
    own.zero_()
    (tmp_path / "go").touch()
    assert process.communicate(timeout=120)[0].split() == ["192", "384"]
    assert not own.any()
