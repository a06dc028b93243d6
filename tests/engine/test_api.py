"""Training, searching and exporting from Python is what the tools do."""

import copy
import importlib
import json

import pytest
import torch
from conftest import CONFIGS, NAMES
from filelock import FileLock

import pinas_mm
from pinas_mm.algorithms import PiNAS
from pinas_mm.engine.run_search import run_search
from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone
from pinas_mm.registry import MODELS

CONFIG = CONFIGS / "small_search_label_free.py"


def config():
    return pinas_mm.read_config(CONFIG, {"experiment_name": next(NAMES)})


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A model that was trained from Python, and its work dir."""
    work = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", str(digits))
        return pinas_mm.train(config(), work / "training"), work


def test_training(trained, train, tmp_path):
    model, work = trained
    assert isinstance(model, PiNAS)
    assert model.cfg.load_from == str(work / "training" / "epoch_2.pth")
    train("small_search_label_free.py", tmp_path / "tool")
    states = [
        torch.load(path / "epoch_2.pth", weights_only=True)["state_dict"]
        for path in (work / "training", tmp_path / "tool")
    ]
    for name, value in model.state_dict().items():
        assert torch.equal(value, states[0][name]), name
        assert torch.equal(value, states[1][name]), name


def test_at_its_end_others_may_train_there(trained):
    _, work = trained
    with FileLock(work / "training" / ".training.lock", timeout=0):
        pass


@pytest.fixture(scope="module")
def searched(trained):
    model, work = trained
    return pinas_mm.search(model, work / "search", trials=4), work


def metrics(findings):
    return {evaluated.arch: evaluated.metrics for evaluated in findings.evaluated}


def test_a_search(searched, tmp_path, monkeypatch, digits):
    findings, work = searched
    monkeypatch.setenv("PINAS_DATA", str(digits))
    cfg = config()
    cfg.work_dir = str(tmp_path)
    assert metrics(findings) == metrics(run_search(cfg, work / "training", dict(trials=4)))
    lines = [line for line in str(findings).splitlines() if line.startswith("│")]
    assert [line.split("│")[2].strip() for line in lines] == [str(e.arch) for e in findings.best()]
    assert (work / "search" / "search.html").is_file()


def test_a_model_of_other_norms_is_not_loaded(trained):
    other = config()
    other.model.backbone.norm_cfg = dict(type="BN", eps=1e-3)
    with pytest.raises(UserError, match=r"was trained with norm_cfg=.*eps=1e-05.* has .*eps=0.001"):
        pinas_mm.init_model(other, trained[1] / "training")


@pytest.mark.parametrize("known", [True, False])
def test_what_a_config_leaves_to_a_file(known, space, classifier_config, tmp_path):
    backbone, file = classifier_config.model.backbone, tmp_path / "winner.pth"
    classifier = MODELS.build(classifier_config.model)
    meta = dict(arch="31-2", space=space.to_dict(), in_channels=3, norm_cfg=dict(type="SyncBN"))
    training = dict(state_dict=classifier.state_dict(), meta=meta if known else {})
    torch.save(training, tmp_path / "epoch_1.pth")
    if not known:  # As a checkpoint of another program, which says nothing of itself.
        torch.save(dict(state_dict=classifier.backbone.state_dict(), meta=meta), file)
    init = dict(type="Pretrained", checkpoint=str(file))
    classifier_config.model.backbone = dict(type=backbone.type, init_cfg=init)
    model = pinas_mm.init_model(classifier_config, tmp_path / "epoch_1.pth")
    assert str(model.backbone.arch) == "31-2"
    assert model.backbone.space == space
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in training["state_dict"].items())
    if known:  # What it is built from is in its config now.
        assert str(MODELS.build(model.cfg.model).backbone.arch) == "31-2"


def test_it_goes_on_where_it_was_with_a_model_that_is_loaded(
    searched, trained, monkeypatch, digits
):
    findings, work = searched
    monkeypatch.setenv("PINAS_DATA", str(digits))
    model = pinas_mm.init_model(config(), work / "training")
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, trained[0].state_dict()[name]), name
    more = pinas_mm.search(model, work / "search", trials=6)
    assert len(more.evaluated) == 6
    assert metrics(findings).items() <= metrics(more).items()


def test_an_export_is_the_tools(searched, trained, tool, tmp_path):
    findings, work = searched
    best = findings.best(1)[0].arch
    backbone = pinas_mm.export_subnet(trained[0], best, tmp_path / "python.pth")
    kept = work / "search" / CONFIG.name
    command = ["--best", work / "search", "--calibrate", kept, "--out", tmp_path / "tool.pth"]
    # As the search left it, whatever went on since.
    (work / "search" / "best.json").write_text(json.dumps(findings.to_dict()))
    status, _, err = tool("export.py", *command)
    assert status == 0, err
    files = [torch.load(tmp_path / f"{name}.pth", weights_only=True) for name in ("python", "tool")]
    assert files[0]["meta"] == files[1]["meta"]
    assert files[0]["meta"]["arch"] == str(best) == str(backbone.arch)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, files[0]["state_dict"][name]), name
        assert torch.equal(value, files[1]["state_dict"][name]), name
    with pytest.raises(UserError, match=r"is there already: .* \(from Python force=True\)"):
        pinas_mm.export_subnet(trained[0], findings.best(1)[0], tmp_path / "python.pth")


def test_an_exported_network_has_the_supernets_dilations(trained):
    (model, _), arch = trained, "31-2"
    other = copy.copy(model)
    other.cfg = copy.deepcopy(model.cfg)
    other.cfg.model.backbone.dilations = (1, 2)
    space, channels = model.backbone.space, model.backbone.in_channels
    wanted = PiNASBackbone(arch, space, channels, dilations=(1, 2)).eval()
    backbone = pinas_mm.export_subnet(other, arch, batches=0)
    wanted.load_state_dict(backbone.state_dict())
    images = torch.rand(2, 3, 32, 32)
    for one, expected in zip(backbone(images), wanted(images), strict=True):
        assert torch.equal(one, expected)


def test_the_package_of_the_search_is_called_and_imported():
    assert importlib.import_module("pinas_mm.search.settings").SearchSettings
    assert callable(pinas_mm.search)
    from pinas_mm.search.record.findings import Findings

    assert pinas_mm.search.record.findings.Findings is Findings


@pytest.mark.parametrize("name", sorted({*pinas_mm.__all__}))
def test_public_names_are_there(name):
    assert callable(getattr(pinas_mm, name))


def test_what_a_model_without_a_config_is_told(build_pinas):
    model = build_pinas()
    with pytest.raises(UserError, match="search needs score"):
        pinas_mm.search(model)
    with pytest.raises(UserError, match="the model has no cfg"):
        pinas_mm.export_subnet(model, "000")


def test_several_workers_are_the_tools(trained):
    refused = r"workers is .* tools/search\.py, which starts several"
    for settings in (dict(workers=2), dict(keep_workers=True)):
        with pytest.raises(UserError, match=refused):
            pinas_mm.search(trained[0], **settings)
