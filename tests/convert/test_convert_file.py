"""Files: read without running code, written whole or not at all, loaded by our initializer."""

import pickle

import published
import pytest
import torch

from pinas_mm.convert import convert_file
from pinas_mm.errors import UserError
from pinas_mm.models import PiNASSupernet
from pinas_mm.weights.checkpoint import read_checkpoint


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "release.pth"
    torch.save({"state_dict": published.supernet("demo")}, path)
    return path


def refusal(source, target, **options):
    before = sorted(target.parent.iterdir()) if target.parent.is_dir() else None
    with pytest.raises(UserError) as caught:
        convert_file(source, target, **options)
    after = sorted(target.parent.iterdir()) if target.parent.is_dir() else None
    assert before == after
    return str(caught.value)


def test_a_source_may_be_an_address(server, tmp_path):
    url, folder = server
    torch.save({"state_dict": published.supernet("demo")}, folder / "release.pth")
    convert_file(f"{url}/release.pth", tmp_path / "ours.pth")
    assert read_checkpoint(tmp_path / "ours.pth")["meta"]["source"] == "release.pth"


def test_written_file_is_read_safely_and_says_what_it_is(source, tmp_path):
    converted = convert_file(source, tmp_path / "new folder" / "ours.pth")
    written = read_checkpoint(tmp_path / "new folder" / "ours.pth")
    assert written["meta"] == dict(
        kind="supernet backbone",
        source="release.pth",
        arch=None,
        space=converted.space.to_dict(),
    )
    assert written["state_dict"].keys() == converted.state_dict.keys()


@pytest.mark.parametrize("make", [published.supernet, published.training])
def test_supernet_starts_from_a_converted_file(make, tmp_path):
    torch.save(make("demo"), tmp_path / "release.pth")
    converted = convert_file(tmp_path / "release.pth", tmp_path / "ours.pth")
    init = dict(type="pinas_mm.FromSupernet", checkpoint=str(tmp_path / "ours.pth"))
    supernet = PiNASSupernet(published.SPACES["demo"], init_cfg=init)
    supernet.init_weights()
    for name, value in supernet.state_dict().items():
        assert torch.equal(value, converted.state_dict[f"backbone.{name}"])


def test_existing_file_is_kept_unless_forced(source, tmp_path):
    target = tmp_path / "ours.pth"
    target.write_text("precious")
    assert "exists already" in refusal(source, target)
    assert target.read_text() == "precious"
    convert_file(source, target, force=True)
    assert read_checkpoint(target)["meta"]["kind"] == "supernet backbone"


def test_existing_file_is_kept_when_the_source_is_bad(tmp_path):
    target = tmp_path / "ours.pth"
    target.write_text("precious")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    assert "is none of" in refusal(tmp_path / "other.pth", target, force=True)
    assert target.read_text() == "precious"


def test_truncated_source(source, tmp_path):
    source.write_bytes(source.read_bytes()[:-100])
    assert "truncated" in refusal(source, tmp_path / "ours.pth")


def test_source_with_code_is_not_run(tmp_path):
    torch.save({"state_dict": {}, "extra": pickle.PickleError()}, tmp_path / "release.pth")
    message = refusal(tmp_path / "release.pth", tmp_path / "ours.pth")
    assert "could run code" in message


def test_source_that_is_not_there(tmp_path):
    assert "does not exist" in refusal(tmp_path / "no.pth", tmp_path / "ours.pth")


def test_target_that_is_the_source(source):
    assert "is the source itself" in refusal(source, source, force=True)
    assert read_checkpoint(source)


def test_target_that_is_a_folder(source, tmp_path):
    assert "give a file name" in refusal(source, tmp_path, force=True)


def test_target_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write" in refusal(source, tmp_path / "file" / "ours.pth")
