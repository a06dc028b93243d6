# A supernet on your own images with labels (SPOS), and its search by top-1. PINAS_DATA is a folder
# with one folder for each class; one image in ten is held out to score on. Without the labels,
# unlabelled.py takes the same folder.
#
# export PINAS_DATA=/my/images
# python tools/train.py configs/own/labelled.py
# python tools/search.py configs/own/labelled.py work_dirs/labelled --work-dir work_dirs/own
# python tools/export.py --best work_dirs/own --calibrate configs/own/labelled.py --out winner.pth
_base_ = ["../spos.py"]

# An import before the bases would make this another kind of config to mmengine.
import os  # noqa: E402

data_root = "{{$PINAS_DATA:data}}"
folders = os.scandir(data_root) if os.path.isdir(data_root) else []
num_classes = max(1, len([one for one in folders if one.is_dir() and one.name[0] != "."]))
del folders


def part(pipeline: list, **options: object) -> dict:
    """A loader's settings for one of the two parts of the images."""
    images = dict(type="pinas_mm.ImageFolder", data_root=data_root, pipeline=pipeline)
    split = dict(type="pinas_mm.KFoldDataset", num_splits=10, seed=0, dataset=images, **options)
    return dict(dataset=dict(_delete_=True, **split))


model = dict(
    model=dict(
        data_preprocessor=dict(num_classes=num_classes),
        head=dict(num_classes=num_classes, topk=(1,)),
    )
)
# One GPU; fewer where its memory or your images are. The learning rate goes with it.
train_dataloader = dict(batch_size=64, **part(_base_.train_pipeline))
val_dataloader = part(_base_.test_pipeline, test_mode=True)
test_dataloader = part(_base_.test_pipeline, test_mode=True)
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator
val_cfg = dict(calibration_dataloader=part(_base_.test_pipeline))
test_cfg = dict(calibration_dataloader=part(_base_.test_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.03))

search = dict(
    score=dict(type="pinas_mm.ProbeScore", topk=1),
    objectives=["accuracy/top1"],
    constraints=[],  # "macs<=5.3G", "params<=27M", "latency<=40ms" (measured here)
    trials=1000,
    images=None,  # all that are held out
)
