"""Images load as mmcv's do; broken ones are named, or skipped where that is asked for."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import NAMES
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import TRANSFORMS
from pictures import BROKEN, NO_FILES, PIXELS, broken_file, encoded, exif_entry
from torch.utils.data import DataLoader

from pinas_mm.data.checks import check_data
from pinas_mm.data.loading import LoadImage
from pinas_mm.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.fixture
def files(tmp_path):
    """An image as JPEG and PNG."""
    paths = {}
    for kind in ("jpg", "png"):
        paths[kind] = tmp_path / f"image.{kind}"
        cv2.imwrite(str(paths[kind]), IMAGE)
    return paths


def test_it_reads_what_mmcv_reads(files):
    for path in files.values():
        ours = LoadImage()(dict(img_path=str(path)))
        theirs = LoadImageFromFile()(dict(img_path=str(path)))
        assert ours["img_shape"] == theirs["img_shape"] == (40, 50)
        assert ours["img"].dtype == np.uint8
        # Two JPEG decoders may round differently.
        difference = np.abs(ours["img"].astype(int) - theirs["img"]).max()
        assert difference <= (0 if path.suffix == ".png" else 3)
    assert (LoadImage()(dict(img_path=str(files["png"])))["img"] == IMAGE).all()


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_file_is_named_or_skipped(files, kind, kept):
    path = files[kind]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UserError, match=rf"image\.{kind}.*ignore_empty=True") as caught:
        LoadImage()(dict(img_path=str(path)))
    assert "\n" not in str(caught.value)
    assert LoadImage(ignore_empty=True)(dict(img_path=str(path))) is None


def test_a_damaged_png_is_named(files):
    content = bytearray(files["png"].read_bytes())
    content[len(content) // 2] ^= 0xFF
    files["png"].write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"image\.png"):
        LoadImage()(dict(img_path=str(files["png"])))


@pytest.mark.parametrize("kind", [*BROKEN, *NO_FILES])
def test_what_is_no_image_is_named_or_skipped(tmp_path, kind):
    path = str(broken_file(tmp_path, "image.jpg", kind))
    with pytest.raises(UserError, match="cannot read image") as caught:
        LoadImage()(dict(img_path=path))
    assert path in str(caught.value)
    assert " at 0x" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
    assert LoadImage(ignore_empty=True)(dict(img_path=path)) is None


def test_what_is_damaged_beside_the_pixels_is_named(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(PIXELS, "JPEG", exif=exif_entry((274, 3, 1))[:20]))
    with pytest.warns(UserWarning, match=r"image .*photo\.jpg: Corrupt EXIF data"):
        assert LoadImage()(dict(img_path=str(path)))["img_shape"] == (6, 9)


@pytest.mark.parametrize(
    "name", ["two words.png", "Zażółć gęślą.png", "図 1.png", "caf\udce9.png", "2\nlines.png"]
)
def test_names_of_all_sorts(tmp_path, name):
    path = str(tmp_path / name)
    with open(path, "wb") as file:
        file.write(encoded(PIXELS, "PNG"))
    for loader in (LoadImage(), LoadImage(ignore_empty=True)):
        assert (loader(dict(img_path=path))["img"] == PIXELS[..., ::-1]).all()
    with open(path, "wb") as file:
        file.write(b"no image")
    assert LoadImage(ignore_empty=True)(dict(img_path=path)) is None
    with pytest.raises(UserError, match="cannot read image") as caught:
        LoadImage()(dict(img_path=path))
    assert str(caught.value).isprintable()


class Files(BaseDataset):
    """The images of a folder."""

    def load_data_list(self):
        return [dict(img_path=str(path)) for path in sorted(Path(self.data_root).iterdir())]


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_images_are_counted_once_over_workers_and_epochs(tmp_path, workers, capfd):
    paths = [str(broken_file(tmp_path, kind, kind)) for kind in list(BROKEN)[:3]]
    for number in range(5):
        paths.append(str(tmp_path / f"{number}.png"))
        (tmp_path / f"{number}.png").write_bytes(encoded(PIXELS, "PNG"))
    MMLogger.get_instance(next(NAMES))  # One that writes to what is captured here.
    dataset = Files(data_root=str(tmp_path), pipeline=[LoadImage(ignore_empty=True)])
    loader = DataLoader(dataset, batch_size=2, num_workers=workers, collate_fn=pseudo_collate)
    for _ in range(2):
        assert sum(len(batch["img"]) for batch in loader) == len(paths)
    said = [line for line in "".join(capfd.readouterr()).splitlines() if "is skipped (" in line]
    assert sorted(sum(path in line for line in said) for path in paths) == [0] * 5 + [1] * 3
    assert any("skipped so far: 3" in line for line in said)


def test_it_can_be_sent_to_a_process():
    loader = pickle.loads(pickle.dumps(LoadImage(ignore_empty=True)))
    assert loader(dict(img_path="missing.jpg")) is None


def test_no_image_of_a_metric_is_skipped():
    pipeline = [dict(type="pinas_mm.LoadImage", ignore_empty=True)]
    dataset = dict(type="CocoDataset", pipeline=pipeline)
    check_data("train", dict(dataset=dataset))
    with pytest.raises(UserError, match="the val set has ignore_empty=True"):
        check_data("val", dict(dataset=dict(**dataset, test_mode=True)))


@pytest.mark.parametrize("annotated", ["sizes", "label map"])
@pytest.mark.parametrize("color_type", ["color", "color_ignore_orientation"])
def test_a_photograph_fits_its_annotation(tmp_path, annotated, color_type):
    path, labels = tmp_path / "photo.jpg", tmp_path / "photo.png"
    path.write_bytes(encoded(PIXELS, "JPEG", orientation=6))
    for width, height in ((9, 6), (6, 9)):
        labels.write_bytes(encoded(np.zeros((height, width), np.uint8), "PNG"))
        said = dict(width=width, height=height) if annotated == "sizes" else {}
        sample = dict(img_path=str(path), seg_map_path=str(labels), **said)
        assert LoadImage(color_type=color_type)(sample)["ori_shape"] == (height, width)
    labels.write_bytes(b"no image")
    if annotated == "label map":
        with pytest.raises(UserError, match=r"cannot read label map .*photo\.png"):
            LoadImage(color_type=color_type)(sample)


def test_options(files, capfd):
    sample = dict(img_path=str(files["png"]))
    assert LoadImage(to_float32=True)(dict(sample))["img"].dtype == np.float32
    assert LoadImage(color_type="grayscale")(dict(sample))["img"].shape == (40, 50)
    MMLogger.get_instance(next(NAMES))
    loader = TRANSFORMS.build(dict(type="pinas_mm.LoadImage", imdecode_backend="cv2"))
    assert "imdecode_backend=cv2 changes nothing" in "".join(capfd.readouterr())
    assert (loader(dict(sample))["img"] == IMAGE).all()
    with pytest.raises(UserError, match="color_type 'colour': allowed are color, grayscale"):
        LoadImage(color_type="colour")
