"""Lists of images with labels, and folders of classes, as mmpretrain reads them."""

import copy
import re
import shutil

import pytest
from conftest import CONFIGS, NAMES
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.config import Config
from mmengine.logging import MMLogger
from pictures import NO_FILES, PIXELS, broken_file, encoded
from refusals import refusal

from pinas_mm.data.annotations import check_data_sets, looks
from pinas_mm.data.cache import CachedDataset
from pinas_mm.registry import DATASETS, TRANSFORMS


@pytest.fixture(scope="module")
def read(layouts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", str(layouts))
        return Config.fromfile(CONFIGS / "small_classifier.py")


@pytest.fixture
def imagenet(read, layouts, tmp_path):
    """The config on a copy of the data, and the training's list."""
    root = shutil.copytree(layouts / "imagenet", tmp_path / "imagenet")
    config = copy.deepcopy(read)
    config.train_dataloader.dataset.data_root = str(root)
    return config, root / "meta" / "train.txt"


def test_what_is_there_passes(imagenet):
    config, _ = imagenet
    train, val = looks(config, ["train", "val"])
    assert (train.counts, train.faults) == ({"images": 4}, [])
    assert not val.faults


LISTS = {
    "empty": (lambda text: b"", "train.txt lists no image"),
    "a blank line": (lambda text: text.replace(b"\n", b"\n\n", 1), "line 2 is blank"),
    "a blank line at the end": (lambda text: text + b"\n", "line 5 is blank"),
    "not UTF-8": (lambda text: text.replace(b"digit_2", b"d\xe9git"), "b'\\xe9' is not UTF-8"),
    "a byte-order mark": (lambda text: b"\xef\xbb\xbf" + text, "begins with a byte-order mark"),
    "no label": (lambda text: text.replace(b" 1", b"", 1), "line 2 is 'digit_1/"),
    "a tab": (lambda text: text.replace(b" 1", b"\t1", 1), "`path label` is wanted, parted"),
    "a comma": (lambda text: text.replace(b" 1", b",1", 1), "line 2 is 'digit_1/"),
    "a name for a label": (lambda text: text.replace(b" 1", b" one", 1), "line 2 is 'digit_1/"),
    "a float": (lambda text: text.replace(b" 1", b" 1.0", 1), "`path label` is wanted"),
    "a label too large": (
        lambda text: text.replace(b" 1", b" 10", 1),
        "label 10 of digit_1/digit_1_000001.jpg: allowed are 0 to 9, since model.head has",
    ),
    "a negative label": (lambda text: text.replace(b" 1", b" -1", 1), "label -1 of digit_1"),
    "a missing file": (
        lambda text: text.replace(b"digit_3/", b"digit_9/", 1),
        "digit_9/digit_3_000003.jpg is missing",
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_damaged_list(imagenet, name):
    config, path = imagenet
    make, words = LISTS[name]
    config.train_dataloader.dataset.type = "ImageNet"
    path.write_bytes(make(path.read_bytes()))
    error = refusal(config)
    assert str(path) in error
    assert words in error


def test_line_ends_of_other_systems_and_spaces_in_names_are_read(imagenet):
    config, path = imagenet
    folder = path.parent.parent / "train" / "digit_1"
    folder.rename(folder.with_name("a digit ä"))
    text = path.read_text().replace("digit_1/", "a digit ä/")
    path.write_bytes(text.replace("\n", "\r\n").encode())
    check_data_sets(config, ["train"])
    path.write_bytes(text.replace("\n", "\r\n\r\n").encode())
    (look,) = looks(config, ["train"])
    assert (look.counts["images"], look.faults) == (4, [])
    config.train_dataloader.dataset.with_label = False
    (look,) = looks(config, ["train"])
    assert (look.counts["images"], look.faults) == (4, [])


def test_labels_beyond_the_data_sets_classes(imagenet):
    config, _ = imagenet
    config.train_dataloader.dataset.metainfo = dict(classes=["zero", "one"])
    error = refusal(config)
    assert "line 3: label 2 of digit_2/digit_2_000002.jpg: allowed are 0 to 1" in error
    assert "the data set's number of classes is 2" in error


@pytest.fixture
def folders(imagenet):
    """The same by folders: four classes."""
    config, path = imagenet
    root = path.parent.parent / "train"
    config.train_dataloader.dataset = dict(type="CustomDataset", data_prefix=str(root))
    names = sorted(folder.name for folder in root.iterdir())
    return config, names


@TRANSFORMS.register_module()
class LabelOfParity(BaseTransform):
    """A user's own: two classes of the ten."""

    def transform(self, results):
        results["gt_label"] %= 2
        return results


@DATASETS.register_module()
class ParityDataset(CachedDataset):
    """The same around a data set."""


def test_own_transforms_and_wrappers_may_change_labels(imagenet):
    config, _ = imagenet
    config.model.head.num_classes = 2
    loader = config.train_dataloader
    assert "allowed are 0 to 1, since" in refusal(config)
    loader.dataset.pipeline.insert(1, dict(type="LabelOfParity"))
    check_data_sets(config, ["train"])
    loader.dataset.pipeline.pop(1)
    inner = copy.deepcopy(loader.dataset)
    loader.dataset = dict(type="pinas_mm.ParityDataset", dataset=inner)
    check_data_sets(config, ["train"])
    # Wrappers of the libraries leave labels as they are.
    loader.dataset.type = "pinas_mm.CachedDataset"
    assert "allowed are 0 to 1, since" in refusal(config)


def test_folders_of_classes(folders):
    config, names = folders
    assert names == ["digit_0", "digit_1", "digit_2", "digit_3"]
    check_data_sets(config, ["train"])
    config.train_dataloader.dataset.metainfo = dict(classes=names)
    check_data_sets(config, ["train"])


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["a", "b", "c"], "has 4 folders (digit_0, digit_1, digit_2, digit_3), metainfo has 3"),
        (["digit_1", "digit_0", "digit_2", "digit_3"], "digit_0 is called digit_1"),
        (["digit_0", "digit_1", "digit_2", "digit_x"], "digit_3 is called digit_x"),
    ],
)
def test_classes_that_are_not_the_folders(folders, classes, words):
    config, _ = folders
    config.train_dataloader.dataset.metainfo = dict(classes=classes)
    assert words in refusal(config)


def test_classes_of_other_names_are_said(folders, capsys):
    config, _ = folders
    config.train_dataloader.dataset.metainfo = dict(classes=["none", "one", "two", "three"])
    # A logger of this test: those before it write to streams that are closed by now.
    MMLogger.get_instance(next(NAMES))
    check_data_sets(config, ["train"])
    said = "no class has its folder's name; in order, digit_0 is none, digit_1 is one"
    assert said in "".join(capsys.readouterr())


def test_more_folders_than_outputs(folders):
    config, _ = folders
    config.model.head.num_classes = 3
    assert "has 4 folders, a class each, model.head has num_classes=3" in refusal(config)


def test_images_without_labels_need_no_classes(folders):
    config, _ = folders
    config.train_dataloader.dataset.with_label = False
    config.model.head.num_classes = 3
    check_data_sets(config, ["train"])


@pytest.fixture(params=["CustomDataset", "pinas_mm.ImageFolder"])
def splits(read, tmp_path, request):
    """A config of folders of classes: a, b and c to train on, a and c for the rest."""
    config = copy.deepcopy(read)
    config.model.head.num_classes = 3
    for split, names in {"train": "abc", "val": "ac"}.items():
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "1.png").write_bytes(encoded(PIXELS, "PNG"))
        dataset = dict(type=request.param, data_root=str(tmp_path), data_prefix=split)
        loader = config[f"{split}_dataloader"]
        loader.dataset = {**dataset, "pipeline": loader.dataset.pipeline}
    config.test_dataloader = config.val_dataloader
    config.search = dict(dataloader=config.val_dataloader)
    config.val_evaluator = config.test_evaluator = dict(type="Accuracy")
    return config, tmp_path


@pytest.mark.parametrize("looked", [("train", "val"), ("test",), ("search",)])
def test_folders_that_number_classes_otherwise_than_in_training(splits, looked):
    config, root = splits
    error = refusal(config, looked)
    assert f"{root / 'val'} of " in error
    assert f"lacks the folders b of {root / 'train'}, which is trained on" in error
    (root / "val" / "d").mkdir()
    assert "lacks the folders b and has d beyond those of" in refusal(config, looked)
    (root / "val" / "d").rename(root / "val" / "b")
    check_data_sets(config, looked)
    # Empty folders count where it is built, too.
    dataset = DATASETS.build({**config.val_dataloader.dataset, "pipeline": []})
    assert [dataset.get_data_info(n)["gt_label"] for n in range(2)] == [0, 2]


def test_folders_of_other_names_are_the_classes_that_metainfo_says(splits):
    config, root = splits
    for split in ("train", "val"):
        (root / split / "c").rename(root / split / f"c of {split}")
    (root / "val" / "b").mkdir()
    assert "lacks the folders c of train and has c of val" in refusal(config, ["val"])
    for split in ("train", "val"):
        config[f"{split}_dataloader"].dataset.metainfo = dict(classes=["x", "y", "z"])
    check_data_sets(config, ["train", "val"])
    # Classes that are the folders of one alone leave the numbers as they are.
    (root / "val" / "b").rmdir()
    config.val_dataloader.dataset.metainfo = dict(classes=["a", "c of val"])
    assert "lacks the folders b, c of train" in refusal(config, ["val"])


def test_folders_whose_labels_nothing_compares(splits):
    config, root = splits
    fresh = copy.deepcopy(config)
    fresh.val_dataloader.dataset.with_label = False
    check_data_sets(fresh, ["train", "val"])
    fresh = copy.deepcopy(config)
    fresh.model.head = dict(type="TheirOwn")
    check_data_sets(fresh, ["train", "val"])
    # Calibration reads none.
    fresh = copy.deepcopy(config)
    fresh.val_dataloader.dataset.with_label = False
    fresh.val_cfg = dict(calibration_dataloader=config.val_dataloader)
    check_data_sets(fresh, ["train", "val"])
    # Other classes altogether are for comparing images.
    fresh = copy.deepcopy(config)
    for name in "xy":
        shutil.copytree(root / "train" / "a", root / "unseen" / name)
    fresh.val_dataloader.dataset.data_prefix = "unseen"
    check_data_sets(fresh, ["train", "val"])
    # They may make other labels of them.
    fresh = copy.deepcopy(config)
    fresh.val_dataloader.dataset.pipeline.insert(1, dict(type="LabelOfParity"))
    check_data_sets(fresh, ["train", "val"])
    # Listed, or not on this machine.
    (root / "list.txt").write_text("a/1.png 0\nc/1.png 2\n")
    fresh = copy.deepcopy(config)
    fresh.train_dataloader.dataset.update(ann_file="list.txt")
    check_data_sets(fresh, ["train", "val"])
    shutil.rmtree(root / "train")
    check_data_sets(config, ["val"])


@TRANSFORMS.register_module()
class TheirFormat(LoadImageFromFile):
    """A user's own: reads what Pillow does not know."""


@pytest.mark.parametrize("labels", [True, False])
def test_images_in_folders_are_opened_when_all_is_looked_at(splits, labels):
    config, root = splits
    dataset = config.train_dataloader.dataset
    dataset.with_label = labels
    (look,) = looks(config, ["train"], whole=True)
    assert (look.counts, look.faults) == ({"images": 3}, [])
    broken = root / "train" / "b" / "1.png"
    broken.write_bytes(b"<html>")
    (look,) = looks(config, ["train"], whole=True)
    (fault,) = look.faults
    assert fault.startswith(f"image {broken} cannot be read (no image, it begins with b'<html>'")
    # A million would take a run too long.
    (look,) = looks(config, ["train"])
    assert not look.faults
    dataset.pipeline[0].ignore_empty = True
    (look,) = looks(config, ["train"], whole=True)
    assert not look.faults
    dataset.pipeline[0] = dict(type="TheirFormat")
    (look,) = looks(config, ["train"], whole=True)
    assert not look.faults
    dataset.pipeline[0] = dict(type="LoadImageFromFile", imdecode_backend="tifffile")
    (look,) = looks(config, ["train"], whole=True)
    assert not look.faults


def test_folders_without_any_image_are_a_fault_beside_others(splits):
    config, root = splits
    for name in "abc":
        (root / "train" / name / "1.png").unlink()
    train, _ = looks(config, ["train", "val"], whole=True)
    (fault,) = train.faults
    assert fault.startswith("train_dataloader: ")
    config.model.head.num_classes = 2
    train, _ = looks(config, ["train", "val"], whole=True)
    (fault,) = train.faults
    assert "has 3 folders, a class each, model.head has num_classes=2" in fault


@pytest.mark.parametrize("kind", ["text.jpg", "empty.jpg", *NO_FILES])
def test_a_listed_image_that_cannot_be_read(imagenet, kind):
    config, path = imagenet
    image = path.parent.parent / "train" / "digit_1" / "digit_1_000001.jpg"
    image.unlink()
    written = broken_file(image.parent, kind if "." in kind else image.name, kind)
    if written.exists():
        written.rename(image)
    error = refusal(config)
    assert error.startswith(f"{path}, line 2: image {image} ")
    assert re.search("cannot be read|is missing|is no file", error)


def test_a_listed_name_longer_than_a_files_can_be(imagenet):
    config, path = imagenet
    path.write_text(path.read_text().replace("digit_1/", "x" * 300 + "/"))
    (look,) = looks(config, ["train"])
    (fault,) = look.faults
    assert "File name too long" in fault


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(split="validation"), "The split must be one of .* but get 'validation'"),
        (dict(classes="/nowhere/classes.txt"), "No such file or directory: '/nowhere/classes.txt'"),
    ],
)
def test_arguments_that_a_data_set_refuses_are_a_fault_beside_others(imagenet, changes, words):
    config, path = imagenet
    (path.parent.parent / "validation").symlink_to(path.parent.parent / "val")
    config.train_dataloader.dataset.update(changes)
    config.val_dataloader.dataset.data_root = "/nowhere"
    train, val = looks(config, ["train", "val"], whole=True)
    (fault,) = train.faults
    assert re.match(f"train_dataloader: .*{words}", fault)
    assert "data root /nowhere of the val set is missing" in val.faults[0]
    # A run says so when it builds it.
    check_data_sets(config, ["train"])


METRICS = {
    "val": (dict(val_evaluator=dict(type="Accuracy", topk=(1, 5))), "val_evaluator: Accuracy"),
    "several": (dict(val_evaluator=[dict(type="Accuracy", topk=5)]), "val_evaluator: Accuracy"),
    "search": (dict(search=dict(score=dict(type="ProbeScore", topk=(1, 5)))), "search: ProbeScore"),
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_that_the_number_of_classes_cannot_give(imagenet, name):
    config, _ = imagenet
    changes, words = METRICS[name]
    config.update(changes)
    config.model.head.num_classes = 4
    config.val_dataloader = None
    split = "search" if name == "search" else "val"
    error = refusal(config, [split])
    assert words in error
    assert "needs 5 classes, model.head has num_classes=4: give topk=(1,)" in error
    config.model.head.num_classes = 5
    check_data_sets(config, [split])


def test_a_models_own_accuracy(imagenet):
    config, _ = imagenet
    config.model.head.update(topk=(1, 20))
    check_data_sets(config, ["train"])
    config.model.head.cal_acc = True
    assert "needs 20 classes, model.head has num_classes=10" in refusal(config)
