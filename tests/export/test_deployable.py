"""Reading what is to be deployed from weights files."""

import pytest
import torch
from deployed import trained
from mmengine.config import Config

from pinas_mm.errors import UserError
from pinas_mm.export import Deployable, subnet_of, write_subnet
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.registry import MODELS

GROUP_NORM = dict(type="GN", num_groups=2)


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def classifier(classifier_config):
    return trained(MODELS.build({**classifier_config.model, "_scope_": "mmpretrain"}))


@pytest.fixture
def weights(classifier, tmp_path):
    """A classifier's checkpoint, as training leaves it."""
    path = tmp_path / "classifier.pth"
    torch.save({"state_dict": classifier.state_dict(), "meta": {"epoch": 1}}, path)
    return path


def assert_same(deployable, module, images):
    assert not deployable.module.training
    assert not any(parameter.requires_grad for parameter in deployable.module.parameters())
    with torch.no_grad():
        torch.testing.assert_close(deployable.module(images), module(images), rtol=0, atol=0)


def test_exported_backbone(checkpoint, space, images, tmp_path):
    cut = subnet_of(checkpoint, "31-2", space)
    write_subnet(tmp_path / "a.pth", cut, checkpoint)
    deployable = Deployable.read(tmp_path / "a.pth")
    assert deployable.outputs == ("stage1", "stage2")
    assert deployable.channels == 3
    assert deployable.metadata == dict(arch="31-2")
    assert_same(deployable, cut, images)


def test_exported_backbone_of_gray_images_and_group_norm(space, tmp_path):
    supernet = PiNASSupernet(space, in_channels=1, norm_cfg=GROUP_NORM)
    torch.save(supernet.state_dict(), tmp_path / "supernet.pth")
    cut = subnet_of(tmp_path / "supernet.pth", "31-2", space, GROUP_NORM)
    write_subnet(tmp_path / "a.pth", cut, tmp_path / "supernet.pth")
    deployable = Deployable.read(tmp_path / "a.pth")
    assert deployable.channels == 1
    assert_same(deployable, cut, torch.randn(2, 1, 32, 32))


def test_whole_classifier(classifier_config, classifier, weights, images):
    deployable = Deployable.read(weights, classifier_config)
    assert deployable.outputs == ("logits",)
    assert deployable.metadata == dict(
        arch="31-2",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        channel_order="RGB",
    )
    assert_same(deployable, classifier, images)
    from_work_dir = Deployable.read(weights.parent, classifier_config)
    assert_same(from_work_dir, classifier, images)


@pytest.mark.parametrize("kind", ["pinas_mm.PiNASBackbone", PiNASBackbone])
@pytest.mark.parametrize("whole", [False, True])
def test_what_the_config_leaves_to_a_file_the_checkpoint_says(
    classifier_config, classifier, weights, space, images, kind, whole
):
    meta = dict(arch="31-2", space=space.to_dict(), in_channels=3)
    torch.save({"state_dict": classifier.state_dict(), "meta": meta}, weights)
    gone = dict(type="Pretrained", checkpoint="gone.pth")
    classifier_config.model.backbone = dict(type=kind, init_cfg=gone)
    before = classifier_config.to_dict()
    deployable = Deployable.read(weights, classifier_config, backbone_only=not whole)
    assert classifier_config.to_dict() == before
    assert_same(deployable, classifier if whole else classifier.backbone, images)


@pytest.mark.parametrize("own", [None, [2, 4]])
def test_dilations_that_weights_were_cut_with_are_told(
    classifier_config, classifier, weights, printed, own
):
    torch.save({"state_dict": classifier.state_dict(), "meta": dict(dilations=[2, 4])}, weights)
    classifier_config.model.backbone.dilations = own
    deployable = Deployable.read(weights, classifier_config, backbone_only=True)
    assert deployable.module.dilations == own
    said = "is of a network with dilations [2, 4]; this one has [1, 1], which are taken"
    assert (said in printed()) == (own is None)


@pytest.mark.parametrize("bare", [False, True])
def test_backbone_of_a_config(classifier_config, classifier, weights, images, bare):
    if bare:
        torch.save(classifier.backbone.state_dict(), weights)
    classifier_config.model.backbone.out_indices = [1]
    deployable = Deployable.read(weights, classifier_config, backbone_only=True)
    assert deployable.outputs == ("stage2",)
    assert_same(deployable, lambda x: classifier.backbone(x)[1:], images)


def test_backbone_of_a_detector_normalized_beside_the_model(space, images, tmp_path):
    model = dict(
        type="RetinaNet",
        backbone=dict(type="pinas_mm.PiNASBackbone", arch="31-2", space=space.to_dict()),
    )
    beside = dict(mean=[1, 2, 3], std=[4, 5, 6], bgr_to_rgb=False)
    cfg = Config(dict(model=model, data_preprocessor=beside, default_scope="mmdet"))
    backbone = trained(PiNASBackbone("31-2", space))
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    torch.save({"state_dict": {**state, "neck.fc.weight": torch.zeros(2)}}, tmp_path / "a.pth")
    deployable = Deployable.read(tmp_path / "a.pth", cfg, backbone_only=True)
    assert deployable.metadata == dict(arch="31-2", mean=[1, 2, 3], std=[4, 5, 6])
    assert_same(deployable, backbone, images)


def test_weights_that_do_not_fit_are_refused(
    classifier_config, checkpoint, classifier, weights, tmp_path
):
    with pytest.raises(UserError, match=r"is a whole model's: --config .*--backbone-only"):
        Deployable.read(weights)
    with pytest.raises(UserError, match="is a supernet's: cut an architecture out of it"):
        Deployable.read(checkpoint)
    bare = tmp_path / "bare.pth"
    torch.save(classifier.backbone.state_dict(), bare)
    with pytest.raises(UserError, match="does not say its architecture"):
        Deployable.read(bare)
    with pytest.raises(UserError, match=r"does not fit ImageClassifier: .* missing"):
        Deployable.read(bare, classifier_config)
    classifier_config.model.backbone.arch = "32-2"
    with pytest.raises(UserError, match=r"of architecture 31-2, not 32-2: at block 1 "):
        Deployable.read(weights, classifier_config)
    with pytest.raises(UserError, match=r"no\.pth does not exist"):
        Deployable.read(tmp_path / "no.pth")


def test_configs_of_other_models_are_refused(classifier_config, config, weights):
    with pytest.raises(UserError, match=r"small_linear\.py is a supernet's: cut an architecture"):
        Deployable.read(weights, config("small_linear.py"))
    with pytest.raises(UserError, match=r"has no model\.backbone"):
        Deployable.read(weights, Config(dict(model=dict(type="x"))))
    headless = Config(classifier_config._cfg_dict.to_dict())
    headless.model.head = None
    with pytest.raises(UserError, match="is ImageClassifier: whole models are exported of"):
        Deployable.read(weights, headless)
    classifier_config.model.backbone = dict(type="ResNet", depth=18)
    with pytest.raises(UserError, match=r"is ResNet: allowed is pinas_mm\.PiNASBackbone"):
        Deployable.read(weights, classifier_config)
