"""The preprocessor makes normalized RGB views, a function of seed, iteration and rank."""

import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmpretrain.structures import DataSample

from pinas_mm.data.views import LabelledViewsPreprocessor, ViewsPreprocessor
from pinas_mm.errors import UserError
from pinas_mm.registry import MODELS

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IMAGES = torch.randint(0, 256, (3, 3, 8, 10), generator=torch.Generator().manual_seed(0)).byte()


def one_image_each():
    return pseudo_collate([dict(inputs=i, data_samples=DataSample()) for i in IMAGES])


def normalized(images, to_rgb=True):
    channels = images.flip(1) if to_rgb else images
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (channels.float() - mean) / std


@pytest.mark.parametrize("to_rgb", [True, False])
def test_outside_of_training_images_are_only_normalized(to_rgb):
    data = one_image_each()
    out = ViewsPreprocessor(to_rgb=to_rgb)(data, training=False)
    assert len(out["inputs"]) == 1
    torch.testing.assert_close(out["inputs"][0], normalized(IMAGES, to_rgb), atol=1e-5, rtol=1e-5)
    assert len(out["data_samples"]) == 3


def test_views_of_one_image_differ_and_depend_on_seed_and_iteration_alone(at_iteration):
    preprocess = ViewsPreprocessor(num_views=4)
    results = []
    for seed, iteration in ((0, 0), (0, 1), (1, 0), (0, 0)):
        at_iteration(seed, iteration)
        torch.manual_seed(len(results))
        results.append(preprocess(one_image_each(), training=True)["inputs"])
        assert [tuple(view.shape) for view in results[-1]] == [(3, 3, 8, 10)] * 4
    first = results[0]
    assert all(torch.equal(a, b) for a, b in zip(first, results[3], strict=True))
    for other in results[1:3]:
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    for index in range(1, 4):
        assert not torch.equal(first[0], first[index])


def test_one_view_with_its_label_for_classifiers(at_iteration):
    data = one_image_each()
    for label, sample in enumerate(data["data_samples"]):
        sample.set_gt_label(label)
    preprocess = LabelledViewsPreprocessor(augment=dict(size=6))
    at_iteration(3, 5)
    made = preprocess(data, training=True)
    assert tuple(made["inputs"].shape) == (3, 3, 6, 6)
    assert [int(sample.gt_label) for sample in made["data_samples"]] == [0, 1, 2]
    (view,) = ViewsPreprocessor(1, augment=dict(size=6))(data, training=True)["inputs"]
    assert torch.equal(made["inputs"], view)
    assert torch.equal(preprocess.training_batch(data, 3, 5)["inputs"], view)
    plain = preprocess(data)["inputs"]
    torch.testing.assert_close(plain, normalized(IMAGES), atol=1e-5, rtol=1e-5)


def test_a_classifier_of_mmpretrain_takes_it(at_iteration):
    model = MODELS.build(
        dict(
            type="mmpretrain.ImageClassifier",
            data_preprocessor=dict(type="pinas_mm.LabelledViewsPreprocessor"),
            backbone=dict(type="mmpretrain.LeNet5"),
            head=dict(type="mmpretrain.LinearClsHead", num_classes=3, in_channels=4),
        )
    )
    assert isinstance(model.data_preprocessor, LabelledViewsPreprocessor)
    with pytest.raises(UserError, match="they mix labels"):
        LabelledViewsPreprocessor(batch_augments=dict(augments=dict(type="Mixup")))


@pytest.mark.parametrize("collate", [pseudo_collate, default_collate])
def test_crops_of_the_pipeline_become_one_view_each(at_iteration, collate):
    crops = [IMAGES, IMAGES.flip(3)]
    items = [dict(inputs=[crops[0][i], crops[1][i]]) for i in range(3)]
    off = dict(flip=0, jitter=0, gray=0, blur=0)
    at_iteration(0, 0)
    out = ViewsPreprocessor(num_views=2, augment=off)(collate(items), training=True)["inputs"]
    for view, crop in zip(out, crops, strict=True):
        torch.testing.assert_close(view, normalized(crop), atol=1e-4, rtol=1e-4)


def test_the_number_of_crops_must_be_the_number_of_views(at_iteration):
    items = [dict(inputs=[image, image, image]) for image in IMAGES]
    at_iteration(0, 0)
    with pytest.raises(UserError, match="3 crops of each image, num_views is 4"):
        ViewsPreprocessor(num_views=4)(pseudo_collate(items), training=True)


def test_images_of_different_sizes_are_refused_with_their_shapes():
    items = [dict(inputs=IMAGES[0]), dict(inputs=IMAGES[1, :, :4])]
    with pytest.raises(UserError, match=r"\(3, 4, 10\), \(3, 8, 10\)"):
        ViewsPreprocessor()(pseudo_collate(items))


def test_options_of_the_augmentation_are_passed_on(at_iteration):
    at_iteration(0, 0)
    preprocess = ViewsPreprocessor(num_views=2, augment=dict(size=6))
    views = preprocess(one_image_each(), training=True)["inputs"]
    assert [tuple(view.shape) for view in views] == [(3, 3, 6, 6)] * 2
    with pytest.raises(UserError, match="hue"):
        ViewsPreprocessor(augment=dict(hue=2))


def test_it_has_nothing_to_save():
    assert not ViewsPreprocessor().state_dict()


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_other_numbers_of_channels(at_iteration, channels):
    images = torch.randint(0, 256, (3, channels, 8, 10)).byte()
    values = [10.0 * number for number in range(1, channels + 1)]
    preprocess = ViewsPreprocessor(num_views=2, mean=values, std=values)
    data = pseudo_collate([dict(inputs=image) for image in images])
    wanted = torch.tensor(values).view(-1, 1, 1)
    out = preprocess(data)["inputs"][0]
    torch.testing.assert_close(out, (images - wanted) / wanted, atol=1e-5, rtol=1e-5)
    at_iteration(0, 0)
    views = preprocess(data, training=True)["inputs"]
    assert [view.shape for view in views] == [images.shape] * 2
    torch.testing.assert_close(
        ViewsPreprocessor(mean=10, std=5)(data)["inputs"][0] * 5 + 10, images.float()
    )


def test_channels_that_the_mean_is_not_of():
    data = pseudo_collate([dict(inputs=torch.zeros(4, 8, 8).byte())])
    said = "images have 4 channels, mean and std are of 3: .*mean and std to 4.*in_channels=4"
    with pytest.raises(UserError, match=said):
        ViewsPreprocessor()(data)
    for mean, std in (((1, 2), (1, 2, 3)), ((1, 2), (1, 0))):
        with pytest.raises(UserError, match="give as many numbers of each"):
            ViewsPreprocessor(mean=mean, std=std)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_that_is_given_again_is_what_it_was(dtype, channels):
    module = ViewsPreprocessor(mean=[127.5], std=[63.75], to_rgb=False)
    images = (255 * torch.rand(2, channels, 8, 8)).to(dtype)
    kept = images.clone()
    first, second = (module(dict(inputs=images))["inputs"][0] for _ in range(2))
    assert torch.equal(images, kept)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(first, ((images.float() / 255) - 0.5) / 0.25)
