"""COCO files: real content passes, each damaged one is refused with file, entry and value."""

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import REPOSITORY
from mmengine.config import Config
from PIL import Image
from refusals import refusal

from pinas_mm.data.annotations import check_data_sets, looks
from pinas_mm.data.annotations.coco_file import read_file

FILE = "annotations/instances_train2017.json"
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture(scope="module")
def content(layouts):
    return json.loads((layouts / "coco" / FILE).read_text())


@pytest.fixture(scope="module")
def read(layouts, tmp_path_factory):
    """The detection config on a copy of the data."""
    folder = tmp_path_factory.mktemp("coco")
    shutil.copytree(layouts / "coco", folder / "coco")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", str(folder))
        return Config.fromfile(REPOSITORY / "configs/demo/transfer_mask_rcnn.py")


@pytest.fixture
def coco(read, content):
    """The config, to be changed; the file is as it was."""
    write(read, content)
    return copy.deepcopy(read)


def write(config: Config, content: dict) -> Path:
    path = Path(config.data_root) / FILE
    path.write_text(json.dumps(content))
    return path


def test_what_is_there_passes(coco):
    check_data_sets(coco, ["train", "val", "test"])
    train, val = looks(coco, ["train", "val", "test"])
    assert (train.key, train.counts["images"]) == ("train_dataloader", 4)
    assert val.counts["annotations"] > 2


# What is put in the place of an annotation's field; "gone" takes it away.
ANNOTATIONS = {
    "no id": (dict(id="gone"), "id is missing"),
    "id null": (dict(id=None), "id is missing or null"),
    "id a list": (dict(id=[1]), r"id is \[1\]"),
    "no image_id": (dict(image_id="gone"), "image_id missing or null is no image"),
    "unknown image_id": (dict(image_id=99), "image_id 99 is no image"),
    "image_id a list": (dict(image_id=[1]), r"image_id \[1\] is no image"),
    "no category_id": (dict(category_id="gone"), "category_id missing or null"),
    "unknown category_id": (dict(category_id=91), "category_id 91 is no category"),
    "category_id from 0": (dict(category_id=0), "category_id 0 is no category"),
    "category_id a name": (dict(category_id="car"), "category_id 'car' is no category"),
    "no area": (dict(area="gone"), "area is missing"),
    "area text": (dict(area="12"), "area is '12'"),
    "area NaN": (dict(area=NAN), "area is nan"),
    "area larger than a float": (dict(area=10**400), "area is 1000"),
    "area negative": (dict(area=-1), "area is -1"),
    "iscrowd text": (dict(iscrowd="no"), "iscrowd is 'no'"),
    "no bbox": (dict(bbox="gone"), "bbox is missing"),
    "bbox null": (dict(bbox=None), "bbox is missing or null"),
    "bbox empty": (dict(bbox=[]), r"bbox is \[\]: four finite numbers"),
    "bbox of 3": (dict(bbox=[1, 2, 3]), r"bbox is \[1, 2, 3\]: four finite numbers"),
    "bbox of 5": (dict(bbox=[1, 2, 3, 4, 5]), "four finite numbers are wanted, x, y, width"),
    "bbox text": (dict(bbox="1 2 3 4"), "bbox is '1 2 3 4'"),
    "bbox with text": (dict(bbox=[1, 2, "3", 4]), "four finite numbers"),
    "bbox with null": (dict(bbox=[1, 2, None, 4]), "four finite numbers"),
    "bbox a dict": (dict(bbox=dict(x=1)), "four finite numbers"),
    "bbox NaN": (dict(bbox=[NAN, 2, 3, 4]), r"bbox is \[nan, 2, 3, 4\]"),
    "bbox infinite": (dict(bbox=[1, 2, INFINITE, 4]), r"bbox is \[1, 2, inf, 4\]"),
    "bbox larger than a float": (dict(bbox=[1, 2, 10**400, 4]), r"bbox is \[1, 2, 1000"),
    "bbox negative": (dict(bbox=[9, 9, -5, 4]), r"bbox \[9, 9, -5, 4\] has a negative size"),
    "bbox right of it": (dict(bbox=[500, 9, 20, 20]), "is outside of its image of 160 x 128"),
    "bbox above it": (dict(bbox=[9, -60, 20, 20]), "is outside of its image"),
    "bbox far too large": (dict(bbox=[0, 0, 1600, 1280]), "is outside of its image"),
    "no mask": (dict(segmentation="gone"), "segmentation is missing"),
    "mask null": (dict(segmentation=None), "segmentation is missing or null"),
    "mask empty": (dict(segmentation=[]), r"segmentation is \[\]"),
    "mask text": (dict(segmentation="none"), "segmentation is 'none'"),
    "mask flat": (dict(segmentation=[1, 2, 9, 2, 9, 9]), "list of polygons, each a list"),
    "polygon odd": (dict(segmentation=[[1, 2, 9, 2, 9, 9, 7]]), "a polygon of 7 numbers: pairs"),
    "polygon of a line": (dict(segmentation=[[1, 2, 9, 2]]), "no polygon of three points"),
    "polygon NaN": (dict(segmentation=[[1, 2, 9, NAN, 9, 9]]), "has nan in a polygon"),
    "polygon text": (dict(segmentation=[[1, 2, "9", 2, 9, 9]]), "has '9' in a polygon"),
    "polygon outside": (
        dict(segmentation=[[300, 300, 400, 300, 400, 400]]),
        r"reaches from \(300, 300\) to \(400, 400\), outside of its image",
    ),
    "code of another size": (
        dict(segmentation=dict(size=[256, 320], counts="PPYo1")),
        r"size \[256, 320\]: its image's is wanted, \[128, 160\]",
    ),
    "code without size": (dict(segmentation=dict(counts="0")), "size missing or null"),
    "code without counts": (dict(segmentation=dict(size=[128, 160])), "damaged counts"),
    "code too short": (
        dict(segmentation=dict(size=[128, 160], counts=[5, 5])),
        "code 10 pixels of 20480",
    ),
    "code of one endless number": (
        dict(segmentation=dict(size=[128, 160], counts="o" * 9000 + "0")),
        "damaged counts",
    ),
    "code of no code": (
        dict(segmentation=dict(size=[128, 160], counts="no code\n")),
        "damaged counts",
    ),
}


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_a_damaged_annotation(coco, content, name):
    changes, words = ANNOTATIONS[name]
    changed = copy.deepcopy(content)
    damaged = changed["annotations"][5]
    for field, value in changes.items():
        damaged.pop(field) if value == "gone" else damaged.update({field: value})
    path = write(coco, changed)
    number = changes.get("id", 6)
    entry = re.escape("number 6" if number == "gone" else str(number))
    assert re.match(rf"{path}, annotation {entry}: .*{words}", refusal(coco))


IMAGES = {
    "no id": (dict(id="gone"), "number 2: id is missing"),
    "no file_name": (dict(file_name="gone"), "2: file_name is missing"),
    "file_name empty": (dict(file_name=" "), "2: file_name is ' '"),
    "no height": (dict(height="gone"), "2: height is missing"),
    "width 0": (dict(width=0), "2: width is 0"),
    "width text": (dict(width="160"), "2: width is '160'"),
    "width larger than a float": (dict(width=10**400), "2: width is 1000"),
    "height NaN": (dict(height=NAN), "2: height is nan"),
    "another size": (dict(width=128, height=160), "160 x 128 pixels, not 128 x 160"),
    "not there": (dict(file_name="none.jpg"), "train2017/none.jpg is missing"),
    "name too long": (dict(file_name="x" * 300), "File name too long"),
    "twice": (dict(id=1), "several of image 1: give each an id of its own"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_damaged_image_entry(coco, content, name):
    changes, words = IMAGES[name]
    changed = copy.deepcopy(content)
    changed["annotations"] = [a for a in changed["annotations"] if a["image_id"] != 2]
    for field, value in changes.items():
        entry = changed["images"][1]
        entry.pop(field) if value == "gone" else entry.update({field: value})
    path = write(coco, changed)
    coco.train_dataloader.dataset.dataset.pipeline[0].ignore_empty = True
    error = refusal(coco)
    assert str(path) in error
    assert words in error


FILES = {
    "empty": (b"", "is no whole JSON file"),
    "cut off": (b'{"images": [{"id": 1', "is no whole JSON file"),
    "not UTF-8": (b'{"images": "\xff"}', "is no whole JSON file"),
    "byte-order mark": (b"\xef\xbb\xbf{}", "is no whole JSON file"),
    "a page": (b"<html>not found</html>", "is no whole JSON file"),
    "a list": (b"[]", "has no list of images"),
    "null": (b"null", "has no list of images"),
    "images a number": (b'{"images": 3}', "has no list of images"),
    "deep": (b"[" * 100_000, "is no whole JSON file"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file(coco, name):
    (Path(coco.data_root) / FILE).write_bytes(FILES[name][0])
    assert f"{Path(coco.data_root) / FILE} {FILES[name][1]}" in refusal(coco)


@pytest.mark.parametrize("table", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, [], {}, [None]])
def test_a_damaged_table(coco, content, table, value):
    write(coco, {**content, table: value})
    assert re.search(f"has no list of {table}|number 1 is None: no entry", refusal(coco))


def test_annotations_with_one_id_are_refused(coco, content):
    changed = copy.deepcopy(content)
    changed["annotations"][3]["id"] = 1
    write(coco, changed)
    assert "has several of annotation 1" in refusal(coco)


def test_what_real_coco_has_passes(coco, content):
    changed = copy.deepcopy(content)
    first, second, third, fourth = changed["annotations"][:4]
    first.update(bbox=[10.5, 3, 0, 17.2], area=0.4)  # a line
    second.update(bbox=[100.2, 90, 60.3, 38.4])  # half a pixel over the border
    third.update(segmentation=[[1, 2, 9, 2, 9, 9], [3, 3, 4, 4]], bbox=[159.6, 0.0, 0.9, 30])
    counts = [100, 400, 128 * 160 - 500]
    fourth.update(iscrowd=1, segmentation=dict(size=[128, 160], counts=counts))
    write(coco, changed)
    check_data_sets(coco, ["train"])
    # Not evaluated, so that nobody asks for it.
    first.pop("iscrowd")
    write(coco, changed)
    check_data_sets(coco, ["train"])
    coco.train_dataloader.dataset.dataset.test_mode = True
    assert "iscrowd is missing" in refusal(coco)


def test_masks_that_nothing_reads_are_not_looked_at(coco, content):
    changed = copy.deepcopy(content)
    changed["annotations"][0]["segmentation"] = None
    write(coco, changed)
    coco.train_dataloader.dataset.dataset.pipeline[1].with_mask = False
    check_data_sets(coco, ["train"])


def test_codes_where_the_pipeline_takes_polygons_alone(coco):
    coco.train_dataloader.dataset.dataset.pipeline[1].poly2mask = False
    assert "set poly2mask=True" in refusal(coco)


CLASSES = {
    "none": (("sheet", "wool"), "match no category", "person, bicycle, car"),
    "a part": (("person", "bicicle"), "has no 'bicicle' (nearest: 'bicycle')", "only in part"),
    "another order": (("bicycle", "person"), "not in the file's order", "in their order"),
    "one text": ("zebra", "are 'zebra'", "in their order"),
    "fewer than outputs": (("person", "bicycle"), "has 2 classes", "bbox_head.num_classes=2"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_another_file(coco, name):
    classes, *words = CLASSES[name]
    coco.train_dataloader.dataset.dataset.metainfo = dict(classes=classes)
    error = refusal(coco)
    assert all(word in error for word in words)


def test_a_category_name_given_twice(coco, content):
    changed = copy.deepcopy(content)
    changed["categories"][1]["name"] = "person"
    write(coco, changed)
    assert "has no 'bicycle'" in refusal(coco)


def test_boxes_as_corners_or_as_shares(coco, content):
    changed = copy.deepcopy(content)
    for annotation in changed["annotations"]:
        x, y, _, _ = annotation["bbox"]
        x, y = min(x, 90), min(y, 70)
        annotation["bbox"] = [x, y, 130, 110]
    write(coco, changed)
    assert "x, y, width, height are wanted" in refusal(coco)
    for annotation in changed["annotations"]:
        annotation["bbox"] = [0.1, 0.2, 0.5, 0.25]
    write(coco, changed)
    assert "numbers of all boxes are 1 or less: pixels are wanted" in refusal(coco)


def test_an_image_that_cannot_be_read(coco):
    broken = sorted((Path(coco.data_root) / "train2017").iterdir())[2]
    whole = broken.read_bytes()
    broken.write_text("<html>")
    error = refusal(coco)
    assert f"image 3 of {coco.data_root}{FILE}, {broken} cannot be read (no image" in error
    coco.train_dataloader.dataset.dataset.pipeline[0].ignore_empty = True
    check_data_sets(coco, ["train"])
    # As a camera that was held upright writes it; the file says how it is shown.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (128, 160)).save(broken, exif=exif)
    check_data_sets(coco, ["train"])
    broken.write_bytes(whole)


def test_wrapped_data_sets_and_unknown_ones(coco, content):
    changed = copy.deepcopy(content)
    changed["annotations"][0]["bbox"] = None
    write(coco, changed)
    dataset = coco.train_dataloader.dataset.dataset
    for wrapped in (
        dict(type="RepeatDataset", times=2, dataset=dataset),
        dict(type="ConcatDataset", datasets=[dataset, dataset]),
        dict(type="MultiImageMixDataset", dataset=dataset, pipeline=[]),
    ):
        coco.train_dataloader.dataset = wrapped
        assert "bbox is missing" in refusal(coco)
    coco.train_dataloader.dataset = dict(dataset, type="CocoPanopticDataset")
    check_data_sets(coco, ["train"])
    coco.train_dataloader.dataset = dict(type="TheirOwn", data_root=coco.data_root)
    check_data_sets(coco, ["train"])
    coco.train_dataloader.dataset = dict(dataset, data_root="s3://bucket/coco")
    check_data_sets(coco, ["train"])


def test_a_data_set_that_cannot_be_built_is_left_to_the_run(coco):
    coco.train_dataloader.dataset.dataset.ann_fiel = FILE
    check_data_sets(coco, ["train"])
    (look,) = looks(coco, ["train"], whole=True)
    assert "unexpected keyword argument 'ann_fiel'" in look.faults[0]


def test_test_images_without_annotations(coco, content):
    write(coco, {name: content[name] for name in ("images", "categories")})
    coco.test_dataloader = dict(
        coco.val_dataloader, dataset=dict(coco.train_dataloader.dataset.dataset, test_mode=True)
    )
    assert "has no list of annotations" in refusal(coco, ["test"])
    coco.test_evaluator = dict(coco.test_evaluator, format_only=True)
    check_data_sets(coco, ["test"])


def test_a_sample_of_a_large_file(content, tmp_path):
    many = [dict(entry, id=number) for number in range(200) for entry in content["annotations"][:1]]
    path = tmp_path / "large.json"
    for indent in (None, 1):
        path.write_text(json.dumps({**content, "annotations": many}, indent=indent))
        assert read_file(path, False) == ({**content, "annotations": many}, True)
        assert read_file(path, True, large=1000)[1]
        found, whole = read_file(path, False, large=1000)
        assert not whole
        assert (found["images"], found["categories"]) == (content["images"], content["categories"])
        ids = [entry["id"] for entry in found["annotations"]]
        assert ids == sorted(set(ids))
        assert found["annotations"] == [many[number] for number in ids]
        assert (ids[0], ids[-1] > 190, len(ids) > 150) == (0, True, True)
    # What lies in annotations, in their texts and beside them is none.
    inner = [dict(id=number, key="a}, {b") for number in range(20)]
    many = [dict(entry, attributes=inner) for entry in many]
    path.write_text(json.dumps({**content, "annotations": many, "licenses": inner * 200}))
    found, whole = read_file(path, False, large=1000)
    assert not whole
    ids = [entry["id"] for entry in found["annotations"]]
    assert found["annotations"] == [many[number] for number in ids]
    assert (ids == sorted(set(ids)), ids[-1] > 190, len(ids) > 150) == (True, True, True)
    path.write_text(path.read_text()[:-300])
    with pytest.raises(ValueError, match="Expecting"):
        read_file(path, False, large=1000)
