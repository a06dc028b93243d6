# A supernet on your own images without labels, and its search without labels. PINAS_DATA is the
# folder of the images, flat or with folders in it; one in ten is held out to score on.
#
# export PINAS_DATA=/my/images
# python tools/train.py configs/own/unlabelled.py
# python tools/search.py configs/own/unlabelled.py work_dirs/unlabelled --work-dir work_dirs/own
# python tools/export.py --best work_dirs/own --calibrate configs/own/unlabelled.py --out winner.pth
_base_ = ["../pinas_supernet.py"]

data_root = "{{$PINAS_DATA:data}}"


def part(pipeline: list, **options: object) -> dict:
    """A loader's images, one of the two parts of all."""
    images = dict(type="pinas_mm.ImageFolder", data_root=data_root, with_label=False)
    images = dict(**images, pipeline=pipeline)
    split = dict(type="pinas_mm.KFoldDataset", num_splits=10, seed=0, dataset=images, **options)
    return dict(_delete_=True, **split)


# One GPU; fewer where its memory or your images are. The learning rate goes with it.
train_dataloader = dict(batch_size=64, dataset=part(_base_.train_pipeline))
val_dataloader = dict(dataset=part(_base_.test_pipeline, test_mode=True))
test_dataloader = dict(dataset=part(_base_.test_pipeline, test_mode=True))

model = dict(head=dict(pair=dict(queue_size=4096)))  # negatives: fewer than you have images
optim_wrapper = dict(optimizer=dict(lr=0.01))

search = dict(
    score=dict(type="pinas_mm.CrossPathScore", partners=8),
    objectives=["cross_path/score"],
    constraints=[],  # "macs<=5.3G", "params<=27M", "latency<=40ms" (measured here)
    trials=1000,
    images=None,  # all that are held out; of very many a few thousand will do
)
