"""A search's costs are those of the whole model, where the supernet stands in one."""

import json

import numpy as np
import pytest
import torch
from conftest import CONFIGS
from mmengine.config import Config
from single_paths import single_path
from torch.utils.data import Dataset
from whole_models import detections, detector

from pinas_mm.engine.run_search import search_loaders
from pinas_mm.errors import UserError
from pinas_mm.models.cost import count_costs
from pinas_mm.registry import MODELS
from pinas_mm.search.evaluation.scores import CostScore
from pinas_mm.search.search import Search
from pinas_mm.search.settings import SearchSettings


class Detections(Dataset):
    """Two images of one size, with boxes."""

    def __init__(self):
        batch = detections()
        self.inputs, self.samples = batch["inputs"], batch["data_samples"]

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return dict(inputs=self.inputs[index], data_samples=self.samples[index])


def detector_search(space, tmp_path, **changes):
    model = single_path(detector(space), torch.float32)
    settings = dict(
        score=dict(type="pinas_mm.CostScore"),
        objectives=["zero_cost/macs", "latency"],
        dataloader=dict(dataset=Detections(), batch_size=2, num_workers=0),
        latency=dict(repeats=1, num_threads=1, check=2),
        trials=3,
        sampler="RandomSampler",
    )
    return Search(model, SearchSettings.parse(settings | changes), tmp_path), model


def test_a_detectors_costs_and_latency_are_the_whole_ones(space, tmp_path):
    search, model = detector_search(space, tmp_path)
    size = search.evaluator.image_size
    whole, alone = count_costs(model.model, size), count_costs(model.backbone, size)
    findings = search.run()
    for found in findings.evaluated:
        choices = np.array([found.arch])
        for name in ("params", "macs"):
            assert found.costs[name] == whole[name].of(choices)[0] > alone[name].of(choices)[0]
    search.write()
    page = (tmp_path / "search.html").read_text()
    assert f"of the whole FCOS at {size[0]} x {size[1]} pixels" in page
    (table,) = json.loads((tmp_path / "latency.json").read_text())
    assert table["setting"]["following"]["model"] == "FCOS"
    assert "of the whole FCOS on" in page
    assert f"{table['error']:.1%} off" in page
    least = whole["macs"].bounds()[0]
    with pytest.raises(UserError, match="no architecture has macs<"):
        detector_search(space, tmp_path, constraints=[f"macs<{least}"])


def test_where_a_number_of_classes_is_given_the_backbone_counts(space, tmp_path):
    search, model = detector_search(space, tmp_path, num_classes=7)
    expected = count_costs(model.backbone, search.evaluator.image_size, 7)
    assert search.cost_table["macs"].fixed == expected["macs"].fixed
    search.run()
    search.write()
    assert "of the backbone with 7 classes at" in (tmp_path / "search.html").read_text()


class Told(CostScore):
    """A score that is told a file, and a metric by its class."""

    def __init__(self, ann_file, metrics):
        self.told = ann_file, metrics


def test_a_score_of_classes_goes_on_and_another_one_is_refused(space, tmp_path):
    def search(trials, **changes):
        score = dict(type=Told, ann_file="a.json", metrics=dict(type=Detections)) | changes
        options = dict(score=score, objectives=["zero_cost/macs:min"], trials=trials)
        return detector_search(space, tmp_path, **options)[0]

    first = search(2).run()
    more = search(4).run()
    assert len(more.evaluated) == 4
    assert more.evaluated[:2] == first.evaluated
    with pytest.raises(UserError, match=r"score\.metrics\.type was .*Detections and is now .*Told"):
        search(4, metrics=dict(type=Told))


def test_records_of_classifiers_go_on(digits, monkeypatch, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(digits))
    cfg = Config.fromfile(CONFIGS / "small_search.py")
    model = MODELS.build(cfg.model)
    settings = SearchSettings.parse(cfg.search.to_dict() | search_loaders(cfg))
    search = Search(model, settings, tmp_path)
    # As a search was signed that counted backbone and classifier.
    assert search._identity(model)["costs"] == dict(image_size=None, num_classes=10)
    assert "score_version" not in search._identity(model)
    # One that gives other numbers than it did is another.
    monkeypatch.setattr(type(search.evaluator.score), "version", 2)
    assert search._identity(model)["score_version"] == 2
    expected = count_costs(model.backbone, search.evaluator.image_size, 10)
    assert search.cost_table["params"].fixed == expected["params"].fixed


def test_machines_whose_images_lie_elsewhere_have_one_search(digits, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").symlink_to(digits)
    model = MODELS.build(Config.fromfile(CONFIGS / "small_search.py").model)

    def said(folder, name="a.json"):
        monkeypatch.setenv("PINAS_DATA", str(folder))
        cfg = Config.fromfile(CONFIGS / "small_search.py")
        cfg.search.score = dict(type=Told, ann_file=f"{folder}/imagenet/{name}", metrics=[])
        cfg.search.objectives = ["zero_cost/macs"]
        settings = SearchSettings.parse(cfg.search.to_dict() | search_loaders(cfg))
        return Search(model, settings, tmp_path)._identity(model)

    here = said(digits)
    assert here["score"]["ann_file"] == "a.json"
    assert said(tmp_path / "elsewhere") == here
    with pytest.raises(UserError, match=r"score\.ann_file was a\.json and is now b\.json"):
        said(digits, "b.json")
