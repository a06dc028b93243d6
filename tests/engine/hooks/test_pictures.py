"""Every test image has a picture of its own, in its colors and as it lies."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from conftest import NAMES
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData, PixelData
from mmengine.visualization import BaseVisBackend
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from PIL import Image
from torch import distributed, multiprocessing

from pinas_mm.data.loading import LoadImage
from pinas_mm.engine import PicturesHook
from pinas_mm.errors import UserError

SIZE = 64, 96
# Red, as Pillow has it; written text and masks are elsewhere.
RED = np.zeros((*SIZE, 3), np.uint8)
RED[..., 0] = 200


def predicted(kind: str, path: Path, size: tuple[int, int]):
    """What a library's model gives for an image."""
    options = dict(img_path=str(path), ori_shape=size)
    if kind == "mmpretrain":
        return DataSample(metainfo=options).set_pred_label(1)
    if kind == "mmdet":
        found = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0))
        return DetDataSample(metainfo=options, pred_instances=found)
    labels = torch.full((1, *size), 255)
    return SegDataSample(metainfo=options, pred_sem_seg=PixelData(data=labels))


VISUALIZERS = dict(
    mmpretrain=UniversalVisualizer, mmdet=DetLocalVisualizer, mmseg=SegLocalVisualizer
)


@pytest.fixture
def draw(tmp_path):
    """Draws images of a data root as a test of a library's config does; returns the pictures."""

    def run(kind, paths, sizes, root=tmp_path, loader=None, dataset=None):
        visualizer = VISUALIZERS[kind](name=next(NAMES))
        visualizer.alpha = 0  # Of mmseg's masks over the image.
        visualizer.dataset_meta = dict(classes=["a", "b"], palette=[[0, 0, 0]] * 2)
        pipeline = SimpleNamespace(transforms=[loader or LoadImage()])
        dataset = dataset or SimpleNamespace(data_root=str(root), pipeline=pipeline)
        loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=SimpleNamespace(dataset=dataset)))
        runner = SimpleNamespace(test_loop=loop, visualizer=visualizer)
        folder = tmp_path / "pictures"
        shutil.rmtree(folder, ignore_errors=True)
        hook = PicturesHook(folder)
        hook.before_test(runner)
        samples = [predicted(kind, *sample) for sample in zip(paths, sizes, strict=True)]
        hook.after_test_iter(runner, 0, None, samples)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        pictures = {str(file.relative_to(folder)): cv2.imread(str(file)) for file in files}
        # mmdet draws the annotation beside the prediction.
        return {name: picture[:, -sizes[0][1] :] for name, picture in pictures.items()}

    return run


@pytest.mark.parametrize("kind", VISUALIZERS)
def test_pictures_of_one_name_in_two_folders_keep_their_colors(draw, tmp_path, kind):
    paths = [tmp_path / name for name in ("a/1.png", "b/1.png", "b/1.jpg", "b ą/1.png")]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.roll(RED, number % 3, axis=2)).save(path)
    pictures = draw(kind, paths, [SIZE] * 4)
    assert list(pictures) == ["a/1.png.png", "b/1.jpg.png", "b/1.png.png", "b ą/1.png.png"]
    for name, channel in (("a/1.png.png", 2), ("b/1.png.png", 1), ("b/1.jpg.png", 0)):
        corner = pictures[name][-1, -1].astype(int)
        assert corner.argmax() == channel
        assert corner[channel] >= 195
        assert np.delete(corner, channel).max() <= 5


@pytest.mark.parametrize("kind", VISUALIZERS)
@pytest.mark.parametrize("turned", [True, False])
def test_a_photograph_is_drawn_as_it_was_loaded(draw, tmp_path, kind, turned):
    exif = Image.Exif()
    exif[274] = 6
    halves = RED.copy()
    halves[: SIZE[0] // 2] = 0
    Image.fromarray(halves).save(tmp_path / "1.png", exif=exif)
    loader = LoadImage(color_type="color" if turned else "color_ignore_orientation")
    size = SIZE[::-1] if turned else SIZE
    (picture,) = draw(kind, [tmp_path / "1.png"], [size], loader=loader).values()
    assert picture.shape[:2] == size
    # Its lower half is left when it is turned.
    dark, red = picture[-1, -1], picture[-1, 0 if turned else -1]
    assert red[2] == 200
    assert turned == (dark[2] == 0)


@pytest.mark.parametrize("mode", ["I;16", "L", "RGBA"])
def test_pictures_of_other_channels(draw, tmp_path, mode):
    pixels = np.full(SIZE, 40_000, np.uint16) if mode == "I;16" else np.full(SIZE, 156, np.uint8)
    image = Image.fromarray(pixels)
    (image.convert("RGBA") if mode == "RGBA" else image).save(tmp_path / "1.png")
    for color_type in ("color", "grayscale", "unchanged"):
        loader = LoadImage(color_type=color_type, to_float32=True)
        (picture,) = draw("mmdet", [tmp_path / "1.png"], [SIZE], loader=loader).values()
        assert (picture == 156).all()


def test_images_outside_of_the_data_root(draw, tmp_path):
    (tmp_path / "inside").mkdir()
    Image.fromarray(RED).save(tmp_path / "1.png")
    (name,) = draw("mmdet", [tmp_path / "1.png"], [SIZE], root=tmp_path / "inside")
    assert name == f"{str(tmp_path / '1.png')[1:]}.png"


def test_images_of_no_files(tmp_path):
    loader = SimpleNamespace(dataset=SimpleNamespace())
    visualizer = UniversalVisualizer(name=next(NAMES))
    runner = SimpleNamespace(test_loop=SimpleNamespace(dataloader=loader), visualizer=visualizer)
    hook = PicturesHook(tmp_path)
    hook.before_test(runner)
    with pytest.raises(UserError, match="draws images of files"):
        hook.after_test_iter(runner, 0, None, [DataSample()])


class Backend(BaseVisBackend):
    """Keeps the images that it is given."""

    def __init__(self):
        super().__init__(save_dir="")
        self.images = {}

    experiment = None

    def _init_env(self):
        """Nothing to set up."""

    def add_image(self, name, image, step=0, **options):
        self.images[name, step] = image


@pytest.mark.parametrize("kind", VISUALIZERS)
def test_some_of_each_validation_go_to_the_backends(tmp_path, kind):
    backend = Backend()
    visualizer = VISUALIZERS[kind](name=next(NAMES))
    visualizer._vis_backends = {"own": backend}
    visualizer.alpha = 0
    visualizer.dataset_meta = dict(classes=["a", "b"], palette=[[0, 0, 0]] * 2)
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        Image.fromarray(np.roll(RED, number % 3, axis=2)).save(path)
    samples = [predicted(kind, path, SIZE) for path in paths]
    dataset = SimpleNamespace(data_root=str(tmp_path), pipeline=SimpleNamespace(transforms=[]))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    hook = PicturesHook(validation=3)
    for step in (10, 20):
        runner = SimpleNamespace(val_loop=loop, visualizer=visualizer, iter=step)
        hook.before_val(runner)
        hook.after_val_iter(runner, 0, None, samples[:2])
        hook.after_val_iter(runner, 1, None, samples[2:])
    names = [f"prediction {number + 1}, {number}" for number in range(3)]
    assert [*backend.images] == [(name, step) for step in (10, 20) for name in names]
    for number, image in enumerate(backend.images.values()):
        corner = image[-1, -1].astype(int)
        assert corner.argmax() == number % 3
        assert corner.max() >= 195
    hook.after_test_iter(runner, 0, None, samples)


def test_a_number_below_zero_is_refused():
    with pytest.raises(UserError, match="validation is -1: give the number"):
        PicturesHook(validation=-1)


def test_data_sets_of_several_roots_have_their_own_loaders(draw, tmp_path):
    paths = [tmp_path / name / "1.png" for name in ("a", "b")]
    parts = []
    for path, kind in zip(paths, ("color", "grayscale"), strict=True):
        path.parent.mkdir()
        Image.fromarray(RED).save(path)
        pipeline = SimpleNamespace(transforms=[LoadImage(color_type=kind)])
        parts.append(SimpleNamespace(data_root=str(path.parent), pipeline=pipeline))
    wrapped = SimpleNamespace(dataset=parts[1])
    concatenated = SimpleNamespace(datasets=[parts[0], wrapped])
    pictures = draw("mmdet", paths, [SIZE] * 2, dataset=concatenated)
    assert list(pictures) == ["a/1.png.png", "b/1.png.png"]
    colors = [picture[-1, -1].tolist() for picture in pictures.values()]
    assert colors[0] == [0, 0, 200]
    assert len(set(colors[1])) == 1


def draw_own(rank, kind, folder):
    """One of two processes, each with an image of its own."""
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    visualizer = VISUALIZERS[kind](name="own", vis_backends=[Backend()])
    pipeline = SimpleNamespace(transforms=[LoadImage()])
    meta = dict(classes=["a", "b"], palette=[[0, 0, 0]] * 2)
    dataset = SimpleNamespace(data_root=str(folder), pipeline=pipeline, metainfo=meta)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    runner = SimpleNamespace(test_loop=loop, val_loop=loop, visualizer=visualizer, iter=0)
    hook = PicturesHook(folder / "pictures", validation=1)
    hook.before_test(runner)
    samples = [predicted(kind, folder / f"{rank}.png", SIZE)]
    hook.after_test_iter(runner, 0, None, samples)
    hook.before_val(runner)
    hook.after_val_iter(runner, 0, None, samples)
    # Backends stay the first process's.
    assert len(visualizer._vis_backends["Backend"].images) == (rank == 0)
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("kind", VISUALIZERS)
def test_every_process_draws_its_own_images(tmp_path, kind):
    for rank in range(2):
        Image.fromarray(np.roll(RED, rank, axis=2)).save(tmp_path / f"{rank}.png")
    multiprocessing.spawn(draw_own, args=(kind, tmp_path), nprocs=2)
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [file.name for file in pictures] == ["0.png.png", "1.png.png"]
    for rank, file in enumerate(pictures):
        assert cv2.imread(str(file))[-1, -1].argmax() == 2 - rank
