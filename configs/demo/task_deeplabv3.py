# The demo's DeepLabV3 with a supernet in it, and its search by mIoU.
_base_ = ["transfer_deeplabv3_ade20k.py", "../_base_/task_supernet.py", "../_base_/task_search.py"]

supernet = dict(
    _base_.supernet,
    space=_base_.demo_space,
    out_indices=(0, 1, 2),
    norm_cfg=None,
    init_cfg=dict(_base_.supernet.init_cfg, checkpoint="work_dirs/digits_supernet"),
)
model = dict(_delete_=True, **_base_.single_path, model=dict(_base_.model, backbone=supernet))

# 100 of the 400 training images are held out, for the search.
part = dict(type="pinas_mm.KFoldDataset", num_splits=4, seed=0)
images = _base_.train_dataloader.dataset
training_part = dict(**part, dataset=images)
held_out = dict(images, pipeline=_base_.test_pipeline)
train_dataloader = dict(dataset=dict(_delete_=True, **training_part))
val_dataloader = dict(dataset=dict(_delete_=True, **part, test_mode=True, dataset=held_out))
calibration = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=training_part,
)
loop = dict(calibration_dataloader=calibration, calibration_batches=5, num_archs=2)
val_cfg = dict(_base_.val_loop, **loop)
test_cfg = dict(_base_.test_loop, **loop)

train_cfg = dict(max_iters=400)
search = dict(
    score=dict(metrics=_base_.val_evaluator),
    objectives=["mIoU"],
    trials=60,
    images=50,
    calibration_batches=5,
    memory="256M",
)
