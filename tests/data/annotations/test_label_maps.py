"""Label maps of ADE20K and Cityscapes: of another coding or damaged, they are refused by name."""

import copy
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from PIL import Image
from refusals import refusal

from pinas_mm.data.annotations import check_data_sets, looks
from pinas_mm.data.annotations.label_maps import LabelMaps

DEMO = REPOSITORY / "configs" / "demo"
FOLDERS = dict(ade20k="annotations/training", cityscapes="gtFine/train")


@pytest.fixture(scope="module")
def read(layouts):
    """Configs of the two data sets on the layouts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", str(layouts))
        return {n: Config.fromfile(DEMO / f"transfer_deeplabv3_{n}.py") for n in FOLDERS}


@pytest.fixture(params=FOLDERS)
def maps(read, tmp_path, request):
    """A config on a copy of its data, and the label maps."""
    config = copy.deepcopy(read[request.param])
    root = shutil.copytree(config.train_dataloader.dataset.data_root, tmp_path / "data")
    config.train_dataloader.dataset.data_root = str(root)
    return config, sorted((root / FOLDERS[request.param]).rglob("*.png"))


def change(path: Path, make) -> None:
    Image.fromarray(make(np.array(Image.open(path)))).save(path)


def test_what_is_there_passes(maps):
    config, _ = maps
    train, val = looks(config, ["train", "val", "test"])
    assert (train.counts, train.faults) == ({"label maps": 4}, [])
    assert (val.counts, val.faults) == ({"label maps": 2}, [])


def colored(labels):
    return np.stack([labels, labels // 2, 255 - labels], -1)


def one(value):
    def change(labels):
        labels = labels.copy()
        labels[3, 4] = value
        return labels

    return change


CHANGES = {
    "colors": (colored, "has colors (RGB): it must be one channel of 8 bits"),
    "colors and alpha": (lambda m: np.dstack([colored(m), m]), "has colors (RGBA)"),
    "gray and alpha": (lambda m: np.dstack([m, m]), "has colors (LA)"),
    "16 bits": (lambda m: m.astype(np.uint16), "has 16 bits or more a pixel"),
    "16 bits, instances": (lambda m: m.astype(np.uint16) * 1000, "has 16 bits or more"),
    "a pixel": (lambda m: m[:1, :1], "has 1 x 1 pixels, its image"),
    "turned": (lambda m: np.pad(m, ((0, 5), (0, 0))), "make both of one size"),
    "an id too large": (one(200), "has the values 200, which are no classes"),
    "ids of a photograph": (lambda m: 160 + m % 90, "which are no classes: allowed are"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_map_of_another_coding(maps, name):
    config, paths = maps
    make, words = CHANGES[name]
    change(paths[1], make)
    error = refusal(config)
    assert f"label map {paths[1]} " in error
    assert words in error


BYTES = {
    "nothing": (lambda whole: b"", "cannot be read (no image, it begins with b''"),
    "a page": (lambda whole: b"<!DOCTYPE html>\n<html>", "it begins with b'<!DOCTYPE html>'"),
    "the half": (lambda whole: whole[: len(whole) // 2], "cannot be read ("),
    "the head": (lambda whole: whole[:40], "cannot be read ("),
    "zeros": (lambda whole: whole[:60] + bytes(len(whole) - 60), "cannot be read ("),
    "a pointer": (lambda whole: b"version https://git-lfs.github.com", "begins with b'version"),
}


@pytest.mark.parametrize("name", BYTES)
def test_a_damaged_file(maps, name):
    config, paths = maps
    make, words = BYTES[name]
    paths[2].write_bytes(make(paths[2].read_bytes()))
    error = refusal(config)
    assert f"label map {paths[2]} {words.split(' (')[0] if '(' in words else ''}" in error
    assert words in error


def test_a_palette_or_two_colors_are_ids(maps):
    config, paths = maps
    labels = Image.open(paths[0])
    labels.putpalette([value for value in range(256) for _ in range(3)])
    labels.save(paths[0])
    Image.open(paths[1]).convert("1").save(paths[1])
    check_data_sets(config, ["train"])
    assert Image.open(paths[0]).mode == "P"


def test_a_missing_map_and_a_folder(maps):
    config, paths = maps
    whole = paths[0].read_bytes()
    paths[0].unlink()
    error = refusal(config)
    assert f"label map {paths[0]} of image " in error
    assert "is missing: put it there" in error
    paths[0].mkdir()
    assert f"label map {paths[0]} is no file" in refusal(config)
    paths[0].rmdir()
    paths[0].write_bytes(whole)
    check_data_sets(config, ["train"])


def test_more_label_values_than_outputs(maps):
    config, _ = maps
    config.model.auxiliary_head.num_classes = 5
    error = refusal(config)
    assert "has 11 classes, model.auxiliary_head has num_classes=5" in error
    assert "set model.auxiliary_head.num_classes=11" in error


def test_unknown_class_names(maps):
    config, _ = maps
    config.train_dataloader.dataset.metainfo.classes[2] = "buildin"
    assert "has no class 'buildin' (nearest: 'building')" in refusal(config)


def test_no_image_at_all(maps):
    config, _ = maps
    config.train_dataloader.dataset.img_suffix = ".tiff"
    assert "finds no image *.tiff in" in refusal(config)


def test_maps_that_nothing_reads_are_not_looked_at(maps):
    config, paths = maps
    paths[0].unlink()
    pipeline = config.train_dataloader.dataset.pipeline
    config.train_dataloader.dataset.pipeline = [t for t in pipeline if "Anno" not in t.type]
    check_data_sets(config, ["train"])


@TRANSFORMS.register_module()
class ColorsToIds(BaseTransform):
    """A user's own: reads label maps that are drawn in colors."""

    def transform(self, results):
        results["gt_seg_map"] = results["gt_seg_map"][..., 0]
        return results


def test_own_transforms_may_read_what_libraries_do_not(maps):
    config, paths = maps
    change(paths[1], colored)
    config.train_dataloader.dataset.pipeline.insert(2, dict(type="ColorsToIds"))
    check_data_sets(config, ["train"])
    change(paths[1], lambda labels: labels[:5, :5])
    assert "has 5 x 5 pixels" in refusal(config)


def test_binary_masks_of_0_and_255(read, tmp_path):
    config = copy.deepcopy(read["cityscapes"])
    root = shutil.copytree(config.train_dataloader.dataset.data_root, tmp_path / "data")
    config.train_dataloader.dataset.data_root = str(root)
    for path in (root / "gtFine/train").rglob("*.png"):
        change(path, lambda labels: np.where(labels > 5, 255, 0).astype(np.uint8))
    assert "the values 0 and 255 alone, and 255 is ignored" in refusal(config)
    for path in (root / "gtFine/train").rglob("*.png"):
        change(path, lambda labels: labels | 255)
    assert "the values 255 alone, all of which are ignored" in refusal(config)


def test_a_sample_does_not_speak_for_all_maps(read, tmp_path, monkeypatch, printed):
    config = copy.deepcopy(read["cityscapes"])
    root = shutil.copytree(config.train_dataloader.dataset.data_root, tmp_path / "data")
    config.train_dataloader.dataset.data_root = str(root)
    paths = sorted((root / "gtFine/train").rglob("*.png"))
    for number, path in enumerate(paths):
        change(
            path, lambda labels, rare=number == 1: np.where(labels > 5, 255, rare).astype(np.uint8)
        )
    monkeypatch.setattr(LabelMaps, "sample", 2)
    check_data_sets(config, ["train"])
    looked = []
    for whole in (False, True):
        (look,) = looks(config, ["train"], whole, lambda i, _: looked.append(len(i)) or i)
        assert not look.faults
    assert looked == [2, 4]
    change(paths[1], lambda labels: np.where(labels == 1, 0, 255).astype(np.uint8))
    check_data_sets(config, ["train"])
    # It is said, since it is likely.
    assert "of 4, 2 were looked at: " in (said := printed())
    assert "the values 0 and 255 alone" in said
    (look,) = looks(config, ["train"], whole=True)
    assert "the values 0 and 255 alone" in look.faults[0]


def test_ids_of_cityscapes(read, tmp_path):
    config = copy.deepcopy(read["cityscapes"])
    dataset = config.train_dataloader.dataset
    root = shutil.copytree(dataset.data_root, tmp_path / "data")
    dataset.data_root = str(root)
    paths = sorted((root / "gtFine/train").rglob("*.png"))
    for path in paths:
        # Its ids of the 19 classes are 7 to 33.
        change(path, lambda labels: np.where(labels == 10, 33, 7).astype(np.uint8))
        path.rename(path.with_name(path.name.replace("labelTrainIds", "labelIds")))
    error = refusal(config)
    assert f"{paths[0].name.replace('TrainIds', 'Ids')} is there" in error
    dataset.seg_map_suffix = "_gtFine_labelIds.png"
    assert "has the values 33, which are no classes: allowed are 0 to 18" in refusal(config)
    assert "these are Cityscapes' labelIds and not its train ids" in refusal(config)


def test_ids_beyond_ade20ks(read, tmp_path):
    config = copy.deepcopy(read["ade20k"])
    root = shutil.copytree(config.train_dataloader.dataset.data_root, tmp_path / "data")
    config.train_dataloader.dataset.data_root = str(root)
    path = sorted((root / "annotations/training").iterdir())[0]
    # The 150th class is one, which this config's eleven leave out; the 151st is none.
    change(path, one(150))
    check_data_sets(config, ["train"])
    change(path, one(151))
    config.model.decode_head.ignore_index = 150
    check_data_sets(config, ["train"])
    config.model.decode_head.ignore_index = 255
    assert "has the values 151, which are no classes: allowed are 1 to 150, and 0" in refusal(
        config
    )


def test_a_list_of_names(maps):
    config, _ = maps
    dataset = config.train_dataloader.dataset
    root = Path(dataset.data_root)
    images = sorted(p for p in root.rglob("*") if p.name.endswith(("Img8bit.png", ".jpg")))
    folder = root / dataset.data_prefix.img_path
    suffix = ".jpg" if images[0].suffix == ".jpg" else "_leftImg8bit.png"
    names = [str(p.relative_to(folder)).removesuffix(suffix) for p in images if folder in p.parents]
    dataset.ann_file = "train.txt"
    (root / "train.txt").write_bytes("\r\n".join(names[:2]).encode())
    (look,) = looks(config, ["train"])
    assert (look.counts["label maps"], look.faults) == (2, [])
    (root / "train.txt").write_bytes("\n\n".join(names[:2]).encode())
    assert f"{folder}/{suffix} is missing" in refusal(config).replace("//", "/")
    (root / "train.txt").write_text("x" * 300)
    assert re.search("label map .*x{300}.* is missing", refusal(config))
    (root / "train.txt").write_bytes(b"\xff\xfe")
    assert "cannot be read: 'utf-8' codec" in refusal(config)
