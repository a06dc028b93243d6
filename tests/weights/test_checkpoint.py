"""Checkpoints are read whole, without running code, and only into what they were made for."""

import contextlib
import io
import os
import pickle
import shutil
import tarfile

import pytest
import torch
from mmengine.runner import CheckpointLoader

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.weights.checkpoint import check_fits, find_checkpoint, read_checkpoint, state_dict


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def work_dir(tmp_path):
    """Three checkpoints, the second named as the last, and one of another ending."""
    for number in (1, 2, 3):
        path = tmp_path / f"epoch_{number}.pth"
        torch.save({"number": number}, path)
        os.utime(path, (number, number))
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_2.pth"))
    return tmp_path


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def test_a_work_dir_means_the_checkpoint_it_names(work_dir):
    assert find_checkpoint(work_dir) == work_dir / "epoch_2.pth"
    assert read_checkpoint(str(work_dir)) == {"number": 2}


def test_a_moved_work_dir_still_finds_it(work_dir):
    (work_dir / "last_checkpoint").write_text("/elsewhere/epoch_2.pth\n")
    assert find_checkpoint(work_dir) == work_dir / "epoch_2.pth"


@pytest.mark.parametrize("pointer", ["", "epoch_9.pth", None])
def test_a_broken_or_missing_pointer_means_the_newest_whole_file(work_dir, pointer):
    if pointer is None:
        (work_dir / "last_checkpoint").unlink()
    else:
        (work_dir / "last_checkpoint").write_text(pointer)
    assert find_checkpoint(work_dir) == work_dir / "epoch_3.pth"


def test_a_copied_work_dir_means_its_own(work_dir, tmp_path_factory):
    # The original is there still, under the absolute path that the pointer has.
    copied = tmp_path_factory.mktemp("copied") / "work"
    shutil.copytree(work_dir, copied)
    assert find_checkpoint(copied) == copied / "epoch_2.pth"


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00epoch", b"a" * 100_000, b"\0" * 50, b"../../etc"]
)
def test_a_damaged_pointer_means_the_newest_whole_file(work_dir, content):
    (work_dir / "last_checkpoint").write_bytes(content)
    assert find_checkpoint(work_dir) == work_dir / "epoch_3.pth"


def test_a_pointer_that_leads_elsewhere_is_followed(work_dir, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept") / work_dir.name
    kept.mkdir()
    torch.save({"number": 7}, kept / "epoch_2.pth")
    (work_dir / "last_checkpoint").write_text(str(kept / "epoch_2.pth"))
    assert find_checkpoint(work_dir) == kept / "epoch_2.pth"
    truncate(kept / "epoch_2.pth")
    assert find_checkpoint(work_dir) == work_dir / "epoch_2.pth"


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_a_pointer_and_checkpoints_that_are_no_files_are_passed_over(work_dir, kind):
    make = dict(
        folder=os.mkdir, pipe=os.mkfifo, link=lambda path: os.symlink(work_dir / "nothing", path)
    )[kind]
    (work_dir / "last_checkpoint").unlink()
    make(work_dir / "last_checkpoint")
    make(work_dir / "epoch_4.pth")
    assert find_checkpoint(work_dir) == work_dir / "epoch_3.pth"


def test_the_best_so_far_is_not_the_last(work_dir):
    (work_dir / "last_checkpoint").unlink()
    torch.save({"number": 0}, work_dir / "best_accuracy_epoch_1.pth")
    assert find_checkpoint(work_dir) == work_dir / "epoch_3.pth"


@pytest.mark.parametrize("damage", ["flipped", "zeros"])
def test_what_has_not_its_checksum_is_passed_over_or_refused(work_dir, damage):
    path = work_dir / "epoch_2.pth"
    torch.save({"w": torch.arange(1000)}, path)
    content = bytearray(path.read_bytes())
    middle = content.find(torch.arange(500, 510).numpy().tobytes())
    content[middle : middle + 64] = bytes(64) if damage == "zeros" else b"\x55" * 64
    path.write_bytes(content)
    assert find_checkpoint(work_dir) == work_dir / "epoch_3.pth"
    with pytest.raises(UserError, match=r"epoch_2\.pth is damaged, its checksums are others"):
        find_checkpoint(path)
    # One that takes its place is read anew.
    torch.save({"number": 2}, path)
    assert find_checkpoint(work_dir) == path


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, kind):
    path = tmp_path / "epoch_1.pth"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"epoch_1\.pth does not exist"):
        find_checkpoint(path)


@pytest.mark.parametrize("bits", [0x01, 0x08, 0x0E])
def test_a_flipped_byte_of_a_directory_is_passed_over_or_refused(work_dir, bits):
    """It can name an encryption, a compression or a disk that the archive has not."""
    path = work_dir / "epoch_2.pth"
    content = path.read_bytes()
    directory = content.find(b"PK\x01\x02")
    passed_over = 0
    for place in range(directory, len(content)):
        damaged = bytearray(content)
        damaged[place] ^= bits
        path.write_bytes(damaged)
        found = find_checkpoint(work_dir)
        assert found in (path, work_dir / "epoch_3.pth")
        passed_over += found != path
        with contextlib.suppress(UserError):
            assert read_checkpoint(path) == {"number": 2}
    assert passed_over > 0


def test_truncated_files_are_passed_over(work_dir):
    truncate(work_dir / "epoch_2.pth")
    assert find_checkpoint(work_dir) == work_dir / "epoch_3.pth"
    truncate(work_dir / "epoch_3.pth")
    assert find_checkpoint(work_dir) == work_dir / "epoch_1.pth"
    truncate(work_dir / "epoch_1.pth")
    with pytest.raises(UserError, match="no checkpoint in"):
        find_checkpoint(work_dir)


def test_missing_and_truncated_files_are_refused(work_dir):
    with pytest.raises(UserError, match=r"nothing\.pth does not exist"):
        find_checkpoint(work_dir / "nothing.pth")
    truncate(work_dir / "epoch_1.pth")
    with pytest.raises(UserError, match=r"epoch_1\.pth is truncated"):
        read_checkpoint(work_dir / "epoch_1.pth")


@pytest.mark.parametrize("offset", [70, 80, 90])
def test_a_damaged_archive_is_refused_in_one_line(work_dir, offset):
    path = work_dir / "epoch_1.pth"
    content = path.read_bytes()
    path.write_bytes(content[:offset] + bytes(20) + content[offset + 20 :])
    with pytest.raises(UserError, match=r"epoch_1\.pth is damaged") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_objects_are_refused_and_nothing_of_them_runs(tmp_path):
    path, trap = tmp_path / "trap.pth", tmp_path / "sprung"
    torch.save({"state_dict": {}, "meta": Trap(trap)}, path)
    with pytest.raises(UserError, match="holds more than tensors") as caught:
        read_checkpoint(path)
    assert "mkdir" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not trap.exists()
    torch.load(path, weights_only=False)
    assert trap.exists()


def test_a_bare_pickle_is_refused_and_not_run(tmp_path):
    path, trap = tmp_path / "trap.pth", tmp_path / "sprung"
    path.write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(UserError, match="no PyTorch checkpoint"):
        read_checkpoint(path)
    assert not trap.exists()


def test_weights_are_found_bare_or_wrapped():
    weights = {"a": torch.zeros(1)}
    assert state_dict(weights) == state_dict({"state_dict": weights, "meta": {}}) == weights


def test_what_does_not_fit_is_said_by_kind_and_name():
    module = torch.nn.Linear(2, 3)
    check_fits(module, module.state_dict(), "it")
    wrong = {"weight": torch.zeros(3, 5), **{f"x{i}": torch.zeros(1) for i in range(4)}}
    with pytest.raises(UserError) as caught:
        check_fits(module, wrong, "checkpoint c.pth")
    for said in (
        "checkpoint c.pth does not fit Linear",
        "1 keys missing (bias)",
        "4 left over (x0, x1, x2, ...)",
        "1 of another shape (weight has [3, 5], not [3, 2])",
    ):
        assert said in str(caught.value)


def supernet_from(checkpoint, space, **options):
    init = dict(type="pinas_mm.FromSupernet", checkpoint=str(checkpoint), **options)
    supernet = PiNASSupernet(space=space, init_cfg=init)
    supernet.init_weights()
    return supernet


@pytest.mark.parametrize("kind", ["whole model", "supernet alone", "bare"])
def test_a_supernet_takes_its_weights_exactly(tmp_path, build_pinas, space, kind):
    model = build_pinas()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.rand_like(parameter))
    inner = model.backbone.state_dict()
    saved = {
        "whole model": {"state_dict": model.state_dict()},
        "supernet alone": {"state_dict": inner},
        "bare": inner,
    }[kind]
    torch.save(saved, tmp_path / "supernet.pth")
    loaded = supernet_from(tmp_path / "supernet.pth", space).state_dict()
    assert loaded.keys() == inner.keys()
    assert all(torch.equal(loaded[key], inner[key]) for key in inner)


def test_the_teacher_can_be_taken_by_its_prefix(tmp_path, build_pinas, space):
    model = build_pinas()
    with torch.no_grad():
        model.teacher.backbone.conv1[0].weight.zero_()
    torch.save(model.state_dict(), tmp_path / "model.pth")
    taken = supernet_from(tmp_path / "model.pth", space, prefix="teacher.backbone.")
    assert not taken.conv1[0].weight.any()
    assert taken.bn1.weight.all()


def test_another_space_and_another_kind_are_refused(tmp_path, build_pinas, space):
    torch.save(build_pinas().state_dict(), tmp_path / "model.pth")
    torch.save(PiNASBackbone([0, 1, 2], space=space).state_dict(), tmp_path / "backbone.pth")
    more = {**space.to_dict(), "candidates": [*space.candidates, (1, 1, 32)]}
    with pytest.raises(UserError, match="keys missing"):
        supernet_from(tmp_path / "model.pth", more)
    fewer = {**space.to_dict(), "candidates": space.candidates[:3]}
    with pytest.raises(UserError, match="left over"):
        supernet_from(tmp_path / "model.pth", fewer)
    wider = {**space.to_dict(), "expansion": 4}
    with pytest.raises(UserError, match="of another shape"):
        supernet_from(tmp_path / "model.pth", wider)
    with pytest.raises(UserError, match=r"backbone\.pth does not fit PiNASSupernet"):
        supernet_from(tmp_path / "backbone.pth", space)


def test_files_of_old_pytorch_are_read_too(tmp_path):
    path = tmp_path / "old.pth"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(path, mmap=True)["w"], torch.ones(2))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"old\.pth is damaged"):
        read_checkpoint(path)


def test_a_file_without_a_dict_of_weights_is_refused(tmp_path):
    path = tmp_path / "tensor.pth"
    torch.save(torch.ones(2), path)
    with pytest.raises(UserError, match="holds a Tensor, not a dict of weights"):
        read_checkpoint(path)


def test_an_address_is_downloaded_once(server):
    url, folder = server
    torch.save({"w": torch.ones(2)}, folder / "a.pth")
    assert torch.equal(read_checkpoint(f"{url}/a.pth")["w"], torch.ones(2))
    (folder / "a.pth").unlink()
    assert torch.equal(read_checkpoint(f"{url}/a.pth")["w"], torch.ones(2))
    # The same name elsewhere is another checkpoint.
    (folder / "other").mkdir()
    torch.save({"w": torch.zeros(2)}, folder / "other" / "a.pth")
    assert not read_checkpoint(f"{url}/other/a.pth")["w"].any()


def test_addresses_without_a_whole_checkpoint_are_refused_and_not_kept(server, tmp_path):
    url, folder = server
    with pytest.raises(UserError, match=r"cannot download checkpoint http.*/a\.pth .*404"):
        read_checkpoint(f"{url}/a.pth")
    torch.save({"w": torch.ones(2)}, folder / "a.pth")
    truncate(folder / "a.pth")
    with pytest.raises(UserError, match=r"checkpoint http.*/a\.pth is truncated"):
        read_checkpoint(f"{url}/a.pth")
    torch.save({"w": Trap(tmp_path / "trap")}, folder / "b.pth")
    with pytest.raises(UserError, match="holds more than tensors"):
        read_checkpoint(f"{url}/b.pth")
    torch.save({"w": torch.ones(2)}, folder / "a.pth")
    assert read_checkpoint(f"{url}/a.pth")["w"].all()


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(UserError, match="allowed are a file, a work dir and http"):
        read_checkpoint("torchvision://resnet50")


def kept(folder, url):
    """The file of the hub that an address is kept in."""
    (file,) = folder.glob(f"hub/checkpoints/*-{url.rpartition('/')[2]}")
    return file


def test_what_is_there_needs_no_folder_to_write_to(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    url, folder = server
    torch.save({"w": torch.ones(2)}, folder / "a.pth")
    read_checkpoint(f"{url}/a.pth")

    def refuses(*args, **options):
        raise PermissionError(13, "Permission denied")

    # What a folder gives that another user made; root may write to all.
    monkeypatch.setattr("pinas_mm.weights.checkpoint.tempfile.TemporaryFile", refuses)
    monkeypatch.setattr("pinas_mm.weights.checkpoint.FileLock", refuses)
    assert read_checkpoint(f"{url}/a.pth")["w"].all()
    with pytest.raises(UserError, match=r"cannot keep .*b\.pth in .*Permission denied.*TORCH_HOME"):
        read_checkpoint(f"{url}/b.pth")


def test_without_locks_nothing_is_waited_for_and_nothing_left(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    url, folder = server
    torch.save({"w": torch.ones(2)}, folder / "a.pth")

    def flock(file, how):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    hub = tmp_path / "home" / "hub" / "checkpoints"
    with pytest.raises(UserError, match="404"):
        read_checkpoint(f"{url}/b.pth")
    assert read_checkpoint(f"{url}/a.pth")["w"].all()
    assert list(hub.iterdir()) == [kept(tmp_path / "home", f"{url}/a.pth")]


@pytest.fixture
def archive(tmp_path):
    """A tar archive that a whole zip archive of weights stands at the end of, and its mark."""
    mark, file = tmp_path / "trap", tmp_path / "both.pth"
    weights = io.BytesIO()
    torch.save({"w": torch.ones(2)}, weights)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as both:
        for name, content in (
            ("storages", pickle.dumps(0) + pickle.dumps([])),
            ("tensors", pickle.dumps(0)),
            ("pickle", pickle.dumps(Trap(mark))),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            both.addfile(entry, io.BytesIO(content))
    file.write_bytes(tar.getvalue() + weights.getvalue())
    yield file
    assert not mark.exists()


def test_tar_archives_are_refused(archive):
    # By the zip archive at its end it is whole.
    assert find_checkpoint(archive) == archive
    with pytest.raises(UserError, match=r"is a tar archive.* could run code"):
        read_checkpoint(archive)


def test_so_does_mmengine_s_loader(archive, server):
    url, folder = server
    shutil.copy(archive, folder / "both.pth")
    load = torch.load
    for name in (str(archive), f"{url}/both.pth"):
        with pytest.raises(UserError, match=r"is a tar archive.* could run code"):
            CheckpointLoader.load_checkpoint(name, map_location="cpu")
    assert torch.load is load
    torch.save({"w": torch.ones(2)}, folder / "a.pth")
    assert CheckpointLoader.load_checkpoint(str(folder / "a.pth"))["w"].all()
