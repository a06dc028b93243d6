"""The winners of a finished search."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from made_findings import made_findings

from pinas_mm.errors import UserError
from pinas_mm.export import read_best
from pinas_mm.files import file_sha256
from pinas_mm.search.budget.objective import parse_objectives
from pinas_mm.search.record.findings import Evaluated, Findings
from pinas_mm.search.report.report import Report


@pytest.fixture
def archs(space):
    """Four, worst first."""
    return space.sample(4, np.random.default_rng(0))


@pytest.fixture
def work_dir(space, archs, tmp_path):
    """A search's, as the report writes it."""
    evaluated = [
        Evaluated(n, arch, (float(n),), {"accuracy/top1": float(n)}, {"macs": 1.0}, 1.0)
        for n, arch in enumerate(archs)
    ]
    findings = Findings(
        space, parse_objectives("accuracy/top1"), (), "EvolutionSampler", tuple(evaluated), {}, "s"
    )
    (tmp_path / "best.json").write_text(json.dumps(findings.to_dict(3)))
    return tmp_path


def test_best_of_a_search_is_read_by_rank(work_dir, archs, space):
    found = read_best(work_dir)
    assert found.arch == str(archs[3])
    assert found.space == space
    assert found.checkpoint == "s"
    assert read_best(work_dir / "best.json", rank=3).arch == str(archs[1])
    for rank in (0, 4):
        with pytest.raises(UserError, match=f"no rank {rank}: allowed are 1 to 3"):
            read_best(work_dir, rank)


@pytest.mark.parametrize("text", ["", "[]", '{"best": [{"rank": 1}]}', '{"best": 3}'])
def test_damaged_best_is_refused(tmp_path, text):
    with pytest.raises(UserError, match=r"best\.json does not exist"):
        read_best(tmp_path)
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(UserError, match=r"best\.json is damaged"):
        read_best(tmp_path)


def searched(folder, findings, checkpoint: str):
    """Writes a search's report in ``folder/search``, of a checkpoint in the folder."""
    file = folder / checkpoint
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"weights")
    found = dataclasses.replace(findings, checkpoint=str(file.resolve()))
    Report(found, folder / "search", sha256=file_sha256(file)).write()
    return file.resolve()


@pytest.mark.parametrize("checkpoint", ["search/a.pth", "linear/a.pth", "search/b/c/a.pth"])
def test_a_copy_of_the_folders_has_its_own_checkpoint(space, tmp_path, monkeypatch, checkpoint):
    file = searched(tmp_path / "one", made_findings(space, [0.5], "score"), checkpoint)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    monkeypatch.chdir("/")
    assert read_best(tmp_path / "one" / "search").checkpoint == str(file)
    assert read_best(tmp_path / "two" / "search").checkpoint == str(tmp_path / "two" / checkpoint)
    # Without its own it has the original's, whose bytes are the same.
    (tmp_path / "two" / checkpoint).write_bytes(b"other weights")
    assert read_best(tmp_path / "two" / "search").checkpoint == str(file)
    (tmp_path / "two" / checkpoint).unlink()
    assert read_best(tmp_path / "two" / "search").checkpoint == str(file)


def test_a_config_of_another_space_is_refused(work_dir, config):
    found = read_best(work_dir)
    cfg = config("small_linear.py")
    found.check_config(cfg)
    cfg.model.model.backbone.space.expansion = 4
    with pytest.raises(UserError, match=r"search in 4.3 = 64 architectures.*give the config of"):
        found.check_config(cfg)


def test_the_copy_of_a_config_that_lies_in_a_search_s_folder_is_read_and_not_run(work_dir, config):
    cfg = config("small_linear.py")
    copy = work_dir / "small_linear.py"
    cfg.dump(copy)
    read_best(work_dir).check_config(cfg)
    changed = copy.read_text().replace("num_classes=10", "num_classes=11")
    assert changed != copy.read_text()
    copy.write_text(changed)
    with pytest.raises(UserError, match=r"another model .*num_classes"):
        read_best(work_dir).check_config(cfg)
    ran = work_dir / "ran"
    copy.write_text(f"open({str(ran)!r}, 'w').close()\n" + changed)
    with pytest.raises(UserError, match="not as a search leaves its config"):
        read_best(work_dir).check_config(cfg)
    assert not ran.exists()


def test_of_a_search_of_untrained_weights_there_is_nothing_to_export(work_dir):
    file = work_dir / "best.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "checkpoint": "untrained"}))
    found = read_best(work_dir)
    with pytest.raises(UserError, match=f"untrained weights.*train {found.arch} from scratch"):
        _ = found.checkpoint


def test_a_checkpoint_that_has_changed_since_is_refused(space, tmp_path):
    file = searched(tmp_path, made_findings(space, [0.5], "score"), "linear/a.pth")
    file.write_bytes(b"trained on")
    found = read_best(tmp_path / "search")
    with pytest.raises(UserError, match=r"a\.pth is no longer the checkpoint.*--supernet"):
        _ = found.checkpoint
