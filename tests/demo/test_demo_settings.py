"""What is written beside results, and what it is compared with."""

import pytest

from pinas_mm.demo import settings
from pinas_mm.demo.settings import begun_with, check_begun, sign, told_command, told_config
from pinas_mm.errors import UserError


def test_a_folder_is_of_the_settings_that_it_was_begun_with(tmp_path):
    folder, asked = tmp_path / "some" / "folder", dict(seeds="0", config="a.py")
    check_begun(folder, asked)
    assert not folder.exists()
    sign(folder, asked)
    check_begun(folder, asked)
    assert begun_with(folder) == asked
    with pytest.raises(UserError) as refused:
        check_begun(folder, dict(config="a.py", seeds="0 1", weights="none at all"), "--demo")
    assert str(refused.value) == (
        f"{folder} was begun with seeds 0, weights none: for seeds 0 1, weights none at all give "
        "another --demo, or remove it"
    )


def test_a_folder_that_says_nothing_is_refused_if_it_was_begun(tmp_path):
    # What a write that was killed leaves is no trace.
    (tmp_path / ".settings.json.1.tmp").touch()
    (tmp_path / "seed0").mkdir()
    check_begun(tmp_path, dict(seeds="0"), traces="*.json")
    for traces, file in (("[!.]*", "output.log"), ("*.json", "results.json")):
        (tmp_path / file).touch()
        with pytest.raises(UserError, match=r"does not say with which settings it was begun: give"):
            check_begun(tmp_path, dict(seeds="0"), traces=traces)


def test_a_command_reads_the_same_where_all_was_moved(tmp_path):
    told = []
    for place in ("here", "there"):
        root = tmp_path / place
        words = "train.py", "--work-dir", f"{root}/b", f"checkpoint={root}/a", "seed=1"
        told.append(told_command(words, root / "b"))
    assert told == ["train.py --work-dir . checkpoint=../a seed=1"] * 2


def test_a_config_is_told_by_what_it_says(tmp_path, monkeypatch):
    told = []
    text = 'root = "{{$PINAS_DATA:data}}/images"\nsteps = 1\n'
    for number, content in enumerate((text, f"# The same.\n{text}", text.replace("1", "2"))):
        monkeypatch.setenv("PINAS_DATA", f"/data{number}")
        monkeypatch.setattr(settings, "REPOSITORY", tmp_path / str(number))
        file = tmp_path / str(number) / "configs" / "some.py"
        file.parent.mkdir(parents=True)
        file.write_text(content)
        told.append(told_command(["train.py", "configs/some.py"], tmp_path))
    assert told[0] == told[1] != told[2] == f"train.py {told_config('configs/some.py')}"
    assert told[0].startswith("train.py configs/some.py (content ")
