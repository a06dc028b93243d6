"""Hidden files and folders are not listed, loops end, and only files are read."""

import os

import pytest
from conftest import REPOSITORY
from mmengine.config import Config
from mmengine.fileio import LocalBackend, list_dir_or_file

from pinas_mm.data.checks import check_data
from pinas_mm.data.local_files import DataBackend, data_backend
from pinas_mm.errors import UserError
from pinas_mm.registry import DATASETS, TRANSFORMS


@pytest.fixture
def folder(tmp_path):
    """Images two levels deep, hidden ones, links of all sorts and a pipe."""
    for name in ("b/1.jpg", "b/deep/2.jpg", "a folder/é.jpg", ".ipynb_checkpoints/3.jpg", "4.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    data = tmp_path / "data"
    (data / ".5.jpg").touch()
    (data / "b" / "up").symlink_to(data)
    (data / "b" / "deep" / "self.jpg").symlink_to(data / "b" / "deep" / "self.jpg")
    (data / "b" / "nowhere.jpg").symlink_to(data / "nothing")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "6.jpg").touch()
    for name in ("c", "d"):
        (data / name).symlink_to(tmp_path / "elsewhere")
    os.mkfifo(data / "pipe.jpg")
    return data


JPEGS = ["a folder/é.jpg", "b/1.jpg", "b/deep/2.jpg", "b/deep/self.jpg", "b/nowhere.jpg"]
JPEGS += ["c/6.jpg", "d/6.jpg", "pipe.jpg"]


def test_listing(folder):
    args = dict(backend="data")
    found = list_dir_or_file(folder, False, True, ".jpg", True, backend_args=args)
    assert sorted(found) == JPEGS
    assert sorted(DataBackend().list_dir_or_file(folder)) == sorted(
        ["a folder", "b", "c", "d", "4.png", "pipe.jpg"]
    )
    folders = DataBackend().list_dir_or_file(folder, list_file=False, recursive=True)
    assert sorted(folders) == ["a folder", "b", "b/deep", "b/up", "c", "d"]


def test_a_link_to_the_folder_itself_or_to_nothing_ends(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "here").symlink_to(tmp_path)
    (tmp_path / "1.jpg").touch()
    found = DataBackend().list_dir_or_file(tmp_path, False, True, ".jpg", True)
    assert list(found) == ["1.jpg"]


@pytest.mark.parametrize("name", ["pipe.jpg", "b", "b/deep/self.jpg", "b/nowhere.jpg", "nothing"])
def test_what_is_no_file_is_not_opened(folder, name):
    with pytest.raises(OSError, match=r"no file but|Too many levels|No such file"):
        data_backend(folder / name).get(folder / name)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("loop", "nothing"):
        with pytest.raises(UserError, match=rf"folder .*{name} of a data set cannot be listed"):
            list(DataBackend().list_dir_or_file(tmp_path / name))


@pytest.mark.parametrize("place", ["root", "split"])
def test_a_data_root_that_is_a_loop(tmp_path, place):
    root = tmp_path / "data"
    loop = root if place == "root" else root / "train"
    loop.parent.mkdir(exist_ok=True)
    loop.symlink_to(loop)
    dataset = dict(type="pinas_mm.ImageFolder", data_root=str(root), split="train")
    with pytest.raises(UserError, match="of the train set is missing or empty"):
        check_data("train", dict(dataset=dataset))


def test_a_split_names_no_folder_beside_a_prefix(tmp_path):
    for name in ("images/a", "meta"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "images" / "a" / "1.png").touch()
    (tmp_path / "meta" / "val.txt").write_text("a/1.png 0\n")
    for kind in ("ImageNet", "pinas_mm.ImageFolder"):
        dataset = dict(type=kind, data_root=str(tmp_path), split="val", data_prefix="images")
        check_data("val", dict(dataset=dataset))
        built = DATASETS.build(dataset)
        assert built.get_data_info(0)["img_path"] == str(tmp_path / "images" / "a" / "1.png")
        with pytest.raises(UserError, match=r"/val of the val set is missing"):
            check_data("val", dict(dataset=dict(dataset, data_prefix="")))


@pytest.mark.parametrize("place", ["data_root", "split"])
def test_a_name_longer_than_a_files_can_be(tmp_path, place):
    (tmp_path / "1.jpg").touch()
    dataset = dict(type="ImageNet", data_root=str(tmp_path), split="train")
    dataset[place] = f"{tmp_path}/{'x' * 300}"
    with pytest.raises(UserError, match=r"xxx of the val set cannot be read \(File name too long"):
        check_data("val", dict(dataset=dataset))


def test_the_backend_of_a_path(folder):
    assert data_backend(folder / "b" / "1.jpg").get(folder / "b" / "1.jpg") == b"b/1.jpg"
    assert type(data_backend("https://example.org/1.jpg")).__name__ == "HTTPBackend"
    assert isinstance(data_backend(folder, dict(backend="atomic")), LocalBackend)


@pytest.mark.parametrize("name", ["ade20k", "cityscapes"])
def test_a_pipe_among_label_maps_does_not_hang(tmp_path, name):
    os.mkfifo(tmp_path / "labels.png")
    file = next((REPOSITORY / "configs" / name).glob("deeplabv3_pinas-trans*.py"))
    dataset = Config.fromfile(file).train_dataloader.dataset
    (step,) = [step for step in dataset.pipeline if step.type == "LoadAnnotations"]
    load = TRANSFORMS.build({**step, "_scope_": "mmseg"})
    sample = {"seg_map_path": str(tmp_path / "labels.png"), "seg_fields": []}
    with pytest.raises(OSError, match="it is no file but a folder, a pipe or a device"):
        load({**sample, "reduce_zero_label": False})
