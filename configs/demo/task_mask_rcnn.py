# The demo's Mask R-CNN with a supernet in it, and its search by box AP.
_base_ = ["transfer_mask_rcnn.py", "../_base_/task_supernet.py", "../_base_/task_search.py"]

# Strides are the space's: so the winner computes what its path does (see PiNASBackbone).
supernet = dict(
    _base_.supernet,
    space=dict(_base_.demo_space, strides=(1, 2, 2)),
    out_indices=(1, 2),
    norm_cfg=None,
    init_cfg=dict(_base_.supernet.init_cfg, checkpoint="work_dirs/digits_supernet"),
)
model = dict(_delete_=True, **_base_.single_path, model=dict(_base_.model, backbone=supernet))

# 100 of the 400 training images are held out, for the search.
part = dict(type="pinas_mm.KFoldDataset", num_splits=4, seed=0)
images = _base_.train_dataloader.dataset.dataset
held_out_pipeline = [
    *_base_.test_pipeline[:-1],
    dict(
        _base_.test_pipeline[-1],
        meta_keys=(*_base_.test_pipeline[-1]["meta_keys"], "instances"),
    ),
]
training_part = dict(type="pinas_mm.CachedDataset", dataset=dict(**part, dataset=images))
held_out_part = dict(**part, test_mode=True, dataset=dict(images, pipeline=held_out_pipeline))
train_dataloader = dict(dataset=dict(_delete_=True, **training_part))
val_dataloader = dict(dataset=dict(_delete_=True, **held_out_part))
val_evaluator = dict(ann_file=None)
calibration = dict(
    batch_size=10,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=training_part,
)
loop = dict(calibration_dataloader=calibration, calibration_batches=3, num_archs=2)
val_cfg = dict(_base_.val_loop, **loop)
test_cfg = dict(_base_.test_loop, **loop)

train_cfg = dict(max_iters=200)
search = dict(
    score=dict(metrics=dict(_base_.val_evaluator, ann_file=None, metric="bbox")),
    objectives=["coco/bbox_mAP"],
    trials=60,
    images=50,
    calibration_batches=3,
    memory="256M",
)
