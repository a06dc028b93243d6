"""Images load as mmcv's do; broken ones are named, or skipped where that is asked for."""

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile

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


def test_missing_files_and_other_files_are_named(tmp_path):
    other = tmp_path / "notes.jpg"
    other.write_text("no image")
    for path in (other, tmp_path / "missing.jpg"):
        with pytest.raises(UserError, match=path.name):
            LoadImage()(dict(img_path=str(path)))
        assert LoadImage(ignore_empty=True)(dict(img_path=str(path))) is None


def test_a_damaged_png_is_named(files):
    content = bytearray(files["png"].read_bytes())
    content[len(content) // 2] ^= 0xFF
    files["png"].write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"image\.png"):
        LoadImage()(dict(img_path=str(files["png"])))
