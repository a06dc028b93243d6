# All 256 architectures of the space of supernet.py, scored without labels: half a minute's work.
_base_ = ["../../configs/small_search_label_free.py"]

space = dict(depths=(2, 2))
model = dict(backbone=dict(space=space))
search = dict(trials=256, sampler=dict(type="RandomSampler"), batch=8, heartbeat=1, grace=4)
