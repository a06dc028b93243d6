"""Outputs of the authors' implementation, reached through the converter: 1e-6 in float64.

``PINAS_PARITY`` names another folder of the same files.
"""

import math

import pytest
import release
import torch
from mmpretrain.models import ImageClassifier
from mmseg.models import EncoderDecoder

from pinas_mm.algorithms import PiNAS
from pinas_mm.convert import convert_state
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.batch_norm import batch_statistics

LIMIT = 1e-6
STRIDE_8 = dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))


def load(model, state):
    """A model in float64 with all of the converted weights and nothing else."""
    with torch.device("meta"):
        model = model()
    model = model.double().to_empty(device="cpu")
    model.load_state_dict(state, strict=True)
    return model.eval()


def parametrize(kind):
    values, ids = release.entries(kind)
    return pytest.mark.parametrize("entry", values, ids=ids)


@parametrize("standalone")
def test_standalone(entry):
    out = entry["out"]
    keys = release.classifier_shapes(entry["choice"], out["logits"]["shape"][1])
    converted = convert_state(release.weights(keys))
    assert list(converted.arch) == entry["choice"]

    def classifier():
        stride_8 = STRIDE_8 if entry["dilated"] else {}
        return ImageClassifier(
            backbone=dict(type="pinas_mm.PiNASBackbone", arch=entry["choice"], **stride_8),
            neck=dict(type="mmpretrain.GlobalAveragePooling"),
            head=dict(
                type="mmpretrain.LinearClsHead",
                num_classes=out["logits"]["shape"][1],
                in_channels=2048,
            ),
        )

    model = load(classifier, converted.state_dict)
    images = release.images(entry)
    with torch.no_grad():
        found = {f"layer{i}": x for i, x in enumerate(model.backbone(images), start=1)}
        found["stem"] = model.backbone.forward_stem(images)
        found["logits"] = model(images)
    for name, golden in out.items():
        assert release.deviation(found[name], golden) < LIMIT, name


@pytest.fixture(scope="module")
def supernet():
    converted = convert_state(release.weights(release.shapes("supernet_backbone")))
    assert converted.arch is None
    bare = {name.removeprefix("backbone."): v for name, v in converted.state_dict.items()}
    return load(PiNASSupernet, bare)


@parametrize("supernet")
def test_supernet(supernet, entry):
    images = release.images(entry)
    with torch.no_grad():
        evaluated = supernet(images, entry["choice"])[-1]
    with batch_statistics(supernet):
        trained = supernet(images, entry["choice"])[-1]
    assert release.deviation(evaluated, entry["eval"]) < LIMIT
    assert release.deviation(trained, entry["train"]) < LIMIT


OURS = {
    "encoder_q.0.": "backbone.",
    "encoder_q.1.": "neck.",
    "encoder_k.0.": "teacher.backbone.",
    "encoder_k.1.": "teacher.neck.",
}


def our_name(name):
    prefix = next(prefix for prefix in OURS if name.startswith(prefix))
    return OURS[prefix] + name.removeprefix(prefix)


@parametrize("pinas_step")
def test_training_step(entry):
    converted = convert_state(release.weights(release.shapes("pinas_model")))
    model = load(
        lambda: PiNAS(
            backbone=dict(type="pinas_mm.PiNASSupernet"),
            neck=dict(
                type="mmpretrain.MoCoV2Neck", in_channels=2048, hid_channels=2048, out_channels=128
            ),
            head=dict(type="pinas_mm.CrossPathHead", pair=dict(type="pinas_mm.InfoNCEHead")),
        ),
        converted.state_dict,
    )
    del converted
    images = release.images(entry)
    paths = [entry[f"choice_{number}"] for number in range(images.shape[1] // 2)]

    loss = model.train().loss(list(images.unbind(dim=1)), paths=paths)["loss"]
    loss.backward()

    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients.values()))
    after = model.state_dict()
    assert float(loss) == pytest.approx(entry["loss"], rel=LIMIT, abs=0)
    assert norm == pytest.approx(entry["grad_norm"], rel=LIMIT, abs=0)
    assert len(gradients) == entry["params_with_grad"]
    for name, golden in entry["grad"].items():
        assert release.deviation(gradients[our_name(name)], golden) < LIMIT, name
    for name, golden in entry["after"].items():
        assert release.deviation(after[our_name(name)], golden) < LIMIT, name
    columns = entry["queue_head"]["shape"][1]
    queue_head = after["head.pair.queue"][:, :columns].contiguous()
    assert release.deviation(queue_head, entry["queue_head"]) < LIMIT
    assert after["head.pair.queue_ptr"].item() == entry["queue_ptr"]


@parametrize("deeplabv3")
def test_deeplabv3(entry):
    name, entry = entry
    converted = convert_state(release.weights(release.deeplabv3_shapes(name, entry)))
    assert list(converted.arch) == entry["choice"]
    head = dict(num_classes=entry["num_classes"], align_corners=True)

    def segmentor():
        return EncoderDecoder(
            backbone=dict(type="pinas_mm.PiNASBackbone", arch=entry["choice"], **STRIDE_8),
            decode_head=dict(head, type="pinas_mm.DeepLabV3ReleaseHead", in_index=3),
            auxiliary_head=dict(
                head,
                type="mmseg.FCNHead",
                in_channels=1024,
                in_index=2,
                channels=256,
                num_convs=1,
                concat_input=False,
                norm_cfg=dict(type="BN"),
            ),
            test_cfg=dict(mode="whole"),
        )

    model = load(segmentor, converted.state_dict)
    images = release.images(entry)
    at_size = [dict(img_shape=images.shape[2:])]
    with torch.no_grad():
        features = model.extract_feat(images)
        main = model.decode_head.predict(features, at_size, model.test_cfg)
        auxiliary = model.auxiliary_head.predict(features, at_size, model.test_cfg)
    assert release.deviation(main, entry["out"]) < LIMIT
    assert release.deviation(auxiliary, entry["aux"]) < LIMIT


@pytest.mark.parametrize("name", ["cls", "trans"])
def test_standalone_names_are_the_releases(name):
    shapes = release.shapes(f"classifier_{name}")
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    arch = convert_state(state).arch
    with torch.device("meta"):
        ours = PiNASBackbone(arch).state_dict()
    bare = {key: shape for key, shape in shapes.items() if not key.startswith("fc.")}
    assert {key: list(value.shape) for key, value in ours.items()} == bare
