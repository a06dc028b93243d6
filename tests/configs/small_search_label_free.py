# configs/pinas_search_label_free.py on the space and images of small_supernet.py.
_base_ = ["small_supernet.py"]

search = dict(
    score=dict(type="pinas_mm.CrossPathScore", partners=2),
    objectives=["cross_path/score"],
    trials=6,
    sampler=dict(type="RandomSampler"),
    batch=3,
    calibration_batches=2,
)
