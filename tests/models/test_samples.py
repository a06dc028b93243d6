"""Who writes into data samples of its own writes into nobody else's."""

import numpy as np
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample, MultiTaskDataSample

from pinas_mm.models.samples import own_samples


def detection():
    sample = DetDataSample(metainfo=dict(img_shape=(8, 8)))
    masks = BitmapMasks(np.ones((2, 8, 8), dtype=np.uint8), 8, 8)
    sample.gt_instances = InstanceData(labels=torch.arange(2), masks=masks)
    return sample


def test_what_is_written_stays_there_and_nothing_is_copied_that_is_large():
    batch = dict(inputs=[torch.zeros(1)], data_samples=[detection()])
    own = own_samples(batch)
    assert own["inputs"] is batch["inputs"]
    (sample,), (before,) = own["data_samples"], batch["data_samples"]
    assert type(sample) is DetDataSample
    assert sample.metainfo == before.metainfo
    assert sample.gt_instances.masks is before.gt_instances.masks
    masks = before.gt_instances.masks
    sample.gt_instances.masks = torch.zeros(2, 8, 8)
    sample.gt_instances.regions = [1, 2]
    sample.set_metainfo(dict(pad_shape=(16, 16)))
    sample.pred_instances = InstanceData()
    own["data_samples"].clear()
    assert len(batch["data_samples"]) == 1
    assert before.gt_instances.masks is masks
    assert "regions" not in before.gt_instances
    assert "pad_shape" not in before.metainfo
    assert "pred_instances" not in before


def test_samples_in_samples_lists_and_dicts():
    tasks = MultiTaskDataSample()
    tasks.set_field(DataSample().set_gt_label(1), "first")
    video = TrackDataSample()
    video.video_data_samples = [detection()]
    own = own_samples(dict(data_samples=dict(labelled=[tasks], unlabelled=video)))
    own["data_samples"]["labelled"][0].first.set_gt_label(2)
    own["data_samples"]["unlabelled"].video_data_samples[0].gt_instances.labels = torch.zeros(2)
    assert int(tasks.first.gt_label) == 1
    assert video.video_data_samples[0].gt_instances.labels.tolist() == [0, 1]


def test_batches_without_samples_stay_without():
    assert own_samples(dict(inputs=1)) == dict(inputs=1)
    assert own_samples(dict(inputs=1, data_samples=None)) == dict(inputs=1, data_samples=None)
