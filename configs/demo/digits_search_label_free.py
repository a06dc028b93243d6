# configs/pinas_search_label_free.py on the demo's space and images.
_base_ = ["digits_supernet.py"]

search = dict(
    score=dict(type="pinas_mm.CrossPathScore", partners=10),
    objectives=["cross_path/score"],
    trials=200,
    sampler=dict(type="pinas_mm.PredictorSampler"),
    calibration_batches=30,
    memory="512M",
    num_classes=10,
)
