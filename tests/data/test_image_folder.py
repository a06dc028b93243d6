"""A user's own folders: with and without lists, labels, class folders and hidden files."""

import pytest
from mmengine.registry import DATASETS
from mmpretrain.datasets import ImageNet
from pictures import PIXELS, encoded

from pinas_mm.errors import UserError


@pytest.fixture
def images(tmp_path):
    """Makes image files of the names given; returns the folder."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(PIXELS, "PNG"))
        return tmp_path

    return make


def samples(**options):
    """Paths below the data root, and labels, of a data set."""
    dataset = DATASETS.build(dict(type="pinas_mm.ImageFolder", **options))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    root = f"{options['data_root']}/"
    return [(i["img_path"].removeprefix(root), i.get("gt_label")) for i in infos], dataset


CLASSES = ("train/a/1.png", "train/a b/2.png", "train/ą/deep/3.TIFF")
HIDDEN = ("train/.ipynb_checkpoints/4.png", "train/a/.cache/5.png", "train/a/.6.png")


def test_folders_are_classes_but_for_hidden_ones(images):
    root = images(*CLASSES, *HIDDEN)
    found, dataset = samples(data_root=str(root), split="train")
    assert found == [("train/a/1.png", 0), ("train/a b/2.png", 1), ("train/ą/deep/3.TIFF", 2)]
    assert dataset.CLASSES == ("a", "a b", "ą")


def test_it_reads_imagenet_as_mmpretrain_does(digits):
    for split in ("train", "val"):
        options = dict(data_root=str(digits / "imagenet"), split=split)
        theirs = ImageNet(**options)
        _, ours = samples(**options)
        assert len(ours) == len(theirs) > 0
        assert ours.CLASSES == theirs.CLASSES
        for index in range(len(ours)):
            assert ours.get_data_info(index) == theirs.get_data_info(index)


@pytest.mark.parametrize("split", ["train", None])
def test_a_flat_folder_needs_no_labels(images, split):
    names = ("train/2.png", "train/1 b.jpg", "train/ó.webp", "train/.hidden.png", "train/x.txt")
    root = images(*names)
    found, _ = samples(data_root=str(root), split=split, with_label=False)
    assert found == [("train/1 b.jpg", None), ("train/2.png", None), ("train/ó.webp", None)]


LISTED = ["my photo 1.png 3", "b/2.png 0", "", "c 3.png 12\r"]


@pytest.mark.parametrize("labels", [True, False])
def test_lists(images, labels):
    root = images("train/1.png", "meta/train.txt")
    (root / "meta/train.txt").write_text("\n".join(LISTED))
    found, _ = samples(data_root=str(root), split="train", with_label=labels)
    names = ["train/my photo 1.png", "train/b/2.png", "train/c 3.png"]
    assert found == list(zip(names, [3, 0, 12] if labels else [None] * 3, strict=True))


def test_lists_without_labels(images):
    root = images("train/1.png", "meta/train.txt")
    (root / "meta/train.txt").write_text("photo 7.png\nb.jpg\n")
    found, _ = samples(data_root=str(root), split="train", with_label=False)
    assert found == [("train/photo 7.png", None), ("train/b.jpg", None)]
    with pytest.raises(UserError, match=r"train\.txt has 'photo 7.png' in line 1: a line is"):
        samples(data_root=str(root), split="train")


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["train/1.png"], {}, "has images but no folders .* with_label=False"),
        (["train/a/1.png"], dict(classes=["a", "b"]), "has 1 folders, metainfo names 2 classes"),
        (["train/a/1.txt"], {}, "no images in .*train: their names must end in .jpg"),
        (["train/.a/1.png"], dict(with_label=False), "no images in .*train"),
    ],
)
def test_what_cannot_be_labelled(images, names, options, said):
    with pytest.raises(UserError, match=said) as caught:
        samples(data_root=str(images(*names)), split="train", **options)
    assert "\n" not in str(caught.value)


def test_a_list_that_is_no_text(images):
    root = images("train/1.png", "meta/train.txt")
    (root / "meta/train.txt").write_bytes(b"caf\xe9.png 0\n")
    with pytest.raises(UserError, match=r"train\.txt is no UTF-8 text"):
        samples(data_root=str(root), split="train")
