# Search of a supernet inside a detector or segmentor by the model's own metric, on images that its
# training left out. As many architectures as DetNAS evaluates. What else can be said to a search is
# in configs/pinas_search.py.
# python tools/search.py configs/coco/retinanet_pinas-supernet_fpn_syncbn_ms-90k_coco_search.py \
#     work_dirs/retinanet_pinas-supernet_fpn_syncbn_ms-90k_coco
search = dict(
    score=dict(type="pinas_mm.PredictScore"),
    constraints=[],  # "macs<=60G", "params<=45M", "latency<=40ms" (measured here)
    trials=1000,
    calibration_batches=32,
)
