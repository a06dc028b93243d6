# Search of a supernet inside a detector or segmentor by the model's own metric, on images that its
# training left out. As many architectures as DetNAS evaluates.
# python tools/search.py configs/coco/retinanet_pinas-supernet_fpn_syncbn_ms-90k_coco_search.py \
#     work_dirs/retinanet_pinas-supernet_fpn_syncbn_ms-90k_coco
search = dict(
    score=dict(type="pinas_mm.PredictScore"),
    constraints=[],  # "macs<=60G", "params<=45M", "latency<=40ms" (measured here)
    trials=1000,
    sampler=dict(type="pinas_mm.PredictorSampler"),
    batch=8,
    images=None,  # all that are held out
    keep_images=None,  # True keeps them in memory, False reads them again; None sees to the size
    calibration_batches=32,
    memory="2G",
    pruner=None,
    seed=0,
)
