"""The written sets, as the tools that will read them see them."""

import contextlib
import io
import json

import cv2
import numpy as np
import pytest

from pinas_mm.data.digits import prepare
from pinas_mm.data.digits.layouts import LAYOUTS

TRAIN, VAL = 20, 10


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    list(prepare(folder, train=TRAIN, val=VAL))
    return folder


def boxes_overlap(one, other):
    (x1, y1, w1, h1), (x2, y2, w2, h2) = one, other
    return x1 < x2 + w2 and x2 < x1 + w1 and y1 < y2 + h2 and y2 < y1 + h1


@pytest.mark.parametrize("name", LAYOUTS)
def test_splits_share_no_digit_and_no_photograph_region(root, name):
    folder = root / LAYOUTS[name].folder
    images = json.loads((folder / "provenance.json").read_text())["images"]
    pictures = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in (".jpg", ".png") and not {"annotations", "gtFine"} & set(path.parts)
    }
    assert set(images) == pictures
    train = [image for image in images.values() if image["split"] == "train"]
    val = [image for image in images.values() if image["split"] == "val"]
    assert (len(train), len(val)) == (TRAIN, VAL)
    seen, held_out = ({i for image in half for i in image["digits"]} for half in (train, val))
    assert seen
    assert held_out
    assert not seen & held_out
    assert all(("photo" in image) == (name != "fragments") for image in images.values())
    for one in train:
        for other in val:
            assert one.get("photo", "none") != other.get("photo") or not boxes_overlap(
                one["box"], other["box"]
            )


def test_mmpretrain_reads_imagenet(root):
    from mmcv.transforms import LoadImageFromFile
    from mmpretrain.datasets import ImageNet

    for split, count in (("train", TRAIN), ("val", VAL)):
        data = ImageNet(
            data_root=str(root / "imagenet"), split=split, pipeline=[LoadImageFromFile()]
        )
        assert len(data) == count
        labels = [data.get_data_info(i)["gt_label"] for i in range(count)]
        assert np.bincount(labels).tolist() == [count // 10] * 10
        assert len({data.get_data_info(i)["img_path"] for i in range(count)}) == count
        for i in range(count):
            item = data[i]
            assert item["img"].shape == (32, 32, 3)
            assert f"/{split}/digit_{item['gt_label']}/" in item["img_path"]


def test_mmdet_reads_coco(root):
    from mmcv.transforms import LoadImageFromFile
    from mmdet.datasets import CocoDataset
    from mmdet.datasets.transforms import LoadAnnotations

    for split, count in (("train", TRAIN), ("val", VAL)):
        data = CocoDataset(
            data_root=str(root / "coco"),
            ann_file=f"annotations/instances_{split}2017.json",
            data_prefix={"img": f"{split}2017/"},
            filter_cfg={"filter_empty_gt": True, "min_size": 32},
            pipeline=[LoadImageFromFile(), LoadAnnotations(with_bbox=True, with_mask=True)],
        )
        assert len(data) == count
        assert len(data.cat_ids) == 80
        for item in data:
            masks = item["gt_masks"].to_ndarray()
            assert item["img"].shape == (128, 160, 3)
            assert 2 <= len(masks) == len(item["gt_bboxes"]) <= 6
            assert set(item["gt_bboxes_labels"]) <= set(range(10))
            for mask, (left, top, right, bottom) in zip(
                masks, item["gt_bboxes"].tensor.tolist(), strict=True
            ):
                ys, xs = np.nonzero(mask)
                assert (left, top) == (xs.min(), ys.min())
                assert (right, bottom) == (xs.max() + 1, ys.max() + 1)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_coco_annotations_agree_with_themselves(root, kind):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(root / "coco/annotations/instances_val2017.json"))
        annotations = truth.dataset["annotations"]
        for annotation in annotations:
            mask = truth.annToMask(annotation)
            assert annotation["area"] == mask.sum()
            assert annotation["iscrowd"] == 0
        found = truth.loadRes([{**annotation, "score": 0.9} for annotation in annotations])
        scores = COCOeval(truth, found, kind)
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    assert scores.stats[0] == pytest.approx(1)


def test_coco_says_what_its_categories_stand_for(root):
    from mmdet.datasets import CocoDataset

    content = json.loads((root / "coco/annotations/instances_train2017.json").read_text())
    assert "9 is 'traffic light'" in content["info"]["description"]
    names = tuple(category["name"] for category in content["categories"])
    assert names == CocoDataset.METAINFO["classes"]
    ids = [category["id"] for category in content["categories"]]
    assert (ids[:10], ids[11], ids[-1], len(set(ids))) == (list(range(1, 11)), 13, 90, 80)


def test_mmseg_reads_ade20k(root):
    from mmcv.transforms import LoadImageFromFile
    from mmseg.datasets import ADE20KDataset
    from mmseg.datasets.transforms import LoadAnnotations

    for split, count in (("training", TRAIN), ("validation", VAL)):
        data = ADE20KDataset(
            data_root=str(root / "ADEChallengeData2016"),
            data_prefix={"img_path": f"images/{split}", "seg_map_path": f"annotations/{split}"},
            pipeline=[LoadImageFromFile(), LoadAnnotations(reduce_zero_label=True)],
        )
        check_segmentation(data, count, (128, 128))


def test_mmseg_reads_cityscapes(root):
    from mmcv.transforms import LoadImageFromFile
    from mmseg.datasets import CityscapesDataset
    from mmseg.datasets.transforms import LoadAnnotations

    for split, count in (("train", TRAIN), ("val", VAL)):
        data = CityscapesDataset(
            data_root=str(root / "cityscapes"),
            data_prefix={"img_path": f"leftImg8bit/{split}", "seg_map_path": f"gtFine/{split}"},
            pipeline=[LoadImageFromFile(), LoadAnnotations()],
        )
        check_segmentation(data, count, (128, 256))


def check_segmentation(data, count, size):
    from sklearn.datasets import load_digits

    target = load_digits().target
    root = data.data_root
    with open(f"{root}/provenance.json") as file:
        images = json.load(file)["images"]
    assert len(data) == count
    for item in data:
        labels = item["gt_seg_map"]
        assert item["img"].shape == (*size, 3)
        assert labels.shape == size
        used = images[item["img_path"].removeprefix(root).lstrip("/")]["digits"]
        assert set(np.unique(labels)) == {*target[used], 10, 255}
        assert (labels == 10).mean() > 0.3
        assert (labels == 255).mean() < 0.15


def test_jpegs_keep_full_color_resolution(root):
    path = next((root / "imagenet/train/digit_3").iterdir())
    data = path.read_bytes()
    start = data.index(b"\xff\xc0")
    # Each component's sampling factors in the frame header; 0x11 is one by one.
    assert [data[start + 11 + 3 * component] for component in range(3)] == [0x11] * 3
    assert cv2.imread(str(path)).shape == (32, 32, 3)
