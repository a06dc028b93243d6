"""The data sets of our configs: broken images are named, photographs fit their masks, hidden files
are none.
"""

import copy
import functools
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from mmdet.apis import DetInferencer
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmpretrain.apis import ImageClassificationInferencer
from mmseg.apis import MMSegInferencer
from pictures import BROKEN, NO_FILES, broken_file, encoded
from PIL import Image

from pinas_mm.data.loading import LoadImage
from pinas_mm.errors import UserError

SETS = {
    "imagenet": "imagenet/pinas-cls_32xb64_in1k.py",
    "views": "pinas_supernet.py",
    "labels": "spos.py",
    "coco": "coco/mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco.py",
    "boxes": "coco/retinanet_pinas-trans_fpn_syncbn_ms-90k_coco.py",
    "ade20k": "ade20k/upernet_pinas-trans_4xb4-160k_ade20k-480x480.py",
    "cityscapes": "cityscapes/upernet_pinas-trans_4xb2-80k_cityscapes-768x768.py",
    "demo": "demo/transfer_deeplabv3_cityscapes.py",
    "demo boxes": "demo/transfer_mask_rcnn.py",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the data lie, so that a config has to be read only once."""
    return tmp_path_factory.mktemp("sets") / "data"


@pytest.fixture(scope="module")
def read(folder):
    """Reads a config of SETS, once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", str(folder))
        yield functools.cache(lambda name: Config.fromfile(REPOSITORY / "configs" / SETS[name]))


@pytest.fixture
def data(folder, layouts):
    """A fresh copy of the small data sets."""
    shutil.copytree(layouts, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def build(data, read):
    """Builds a data set of a config; returns it and the path of its first image."""

    def make(name, split="train", **loading):
        config = copy.deepcopy(read(name))
        init_default_scope(config.default_scope)
        dataset = config[f"{split}_dataloader"].dataset
        dataset.get("dataset", dataset).pipeline[0].update(loading)
        dataset = DATASETS.build(dataset)
        return dataset, Path(dataset.get_data_info(0)["img_path"])

    return make


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("name", SETS)
def test_a_broken_image_is_named(build, name, split):
    dataset, path = build(name, split)
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], *BROKEN.values()):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="cannot read image") as caught:
            dataset[0]
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", SETS)
def test_a_broken_image_is_skipped_in_training(build, name):
    dataset, path = build(name, ignore_empty=True)
    path.write_bytes(b"no image")
    samples = [dataset[index] for index in range(len(dataset))]
    assert samples[0] is not None


def written_turned(path: Path) -> np.ndarray:
    """Writes an image, smooth for JPEG, with EXIF's word to turn it; returns it as stored, BGR."""
    width, height = Image.open(path).size
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3).astype(np.uint8)
    kind, options = ("PNG", {}) if path.suffix == ".png" else ("JPEG", dict(quality=100))
    path.write_bytes(encoded(ramp, kind, 6, **options))
    return ramp[..., ::-1]


@pytest.mark.parametrize("name", ["coco", "boxes", "ade20k", "cityscapes", "demo", "demo boxes"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_photograph_lies_as_its_masks_do(build, name, split):
    dataset, path = build(name, split)
    stored = written_turned(path)
    dataset = getattr(dataset, "dataset", dataset)
    results = dataset.pipeline.transforms[0](dict(dataset.get_data_info(0)))
    assert results["ori_shape"] == stored.shape[:2]
    assert np.abs(results["img"].astype(int) - stored).max() <= 8


def test_a_classified_photograph_is_turned(build):
    for name in ("imagenet", "views", "labels"):
        dataset, path = build(name)
        height, width = np.rot90(written_turned(path)).shape[:2]
        results = dataset.pipeline.transforms[0](dataset.get_data_info(0))
        assert results["ori_shape"] == (height, width)


@pytest.mark.parametrize("name", ["ade20k", "cityscapes", "imagenet", "views", "labels"])
def test_hidden_folders_and_loops_are_left_out(build, data, name):
    before, path = build(name)
    for folder in [*data.rglob("train"), *data.rglob("training")]:
        (folder / ".ipynb_checkpoints").mkdir()
        shutil.copy(path, folder / ".ipynb_checkpoints")
        (folder / "loop").symlink_to(folder)
    shutil.rmtree(data / "imagenet" / "meta")
    assert len(build(name)[0]) == len(before)


@pytest.mark.parametrize(
    ("name", "inferencer"),
    [("boxes", DetInferencer), ("ade20k", MMSegInferencer), ("imagenet", None)],
)
def test_the_libraries_inferencers_read_images(build, read, name, inferencer):
    _, path = build(name)
    config = copy.deepcopy(read(name))
    init_default_scope(config.default_scope)
    if inferencer is None:  # mmpretrain's loads images itself.
        pipeline = ImageClassificationInferencer._init_pipeline(None, config)
        assert not [t for t in pipeline.transforms if isinstance(t, LoadImage)]
        return
    pipeline = inferencer.__new__(inferencer)._init_pipeline(config)
    for image in (str(path), np.zeros((50, 60, 3), np.uint8)):
        assert pipeline(image)["inputs"].shape[0] == 3


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["coco", "views"])
def test_what_is_no_file_is_named(build, name, kind):
    dataset, path = build(name)
    path.unlink()
    broken_file(path.parent, path.name, kind)
    with pytest.raises(UserError, match="cannot read image"):
        dataset[0]


def test_deep_images_are_as_shallow_ones(build):
    dataset, path = build("ade20k")
    load = dataset.pipeline.transforms[0]
    gray = np.asarray(Image.open(path).convert("L"))
    path.write_bytes(encoded(gray, "PNG"))
    shallow = load(dict(img_path=str(path)))["img"]
    path.write_bytes(encoded(gray.astype(np.uint16) * 257, "PNG"))
    np.testing.assert_array_equal(load(dict(img_path=str(path)))["img"], shallow)
