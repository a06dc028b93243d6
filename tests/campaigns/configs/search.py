# All architectures of a larger space, scored without labels: about half a minute of one worker.
_base_ = ["../../configs/small_search_label_free.py"]

model = dict(backbone=dict(space=dict(depths=(2, 2))))
search = dict(trials=256, sampler=dict(type="RandomSampler"), batch=8, heartbeat=1, grace=4)
