# Search of a supernet by its linear probe: the paper's 1,000 architectures, each scored by top-1 on
# held-out labelled images after its batch-norm statistics are recomputed on 49 batches.
# python tools/search.py configs/pinas_search.py work_dirs/pinas_linear
_base_ = ["pinas_linear.py"]

# Images come from val_dataloader, those for batch-norm statistics from val_cfg or train_dataloader;
# dataloader and calibration_dataloader here change them for the search.
search = dict(
    score=dict(type="pinas_mm.ProbeScore", topk=(1, 5)),
    objectives=["accuracy/top1"],  # several give the Pareto front: ["accuracy/top1", "macs"]
    constraints=[],  # "macs<=5.3G", "params<=27M", "latency<=40ms" (measured here)
    trials=1000,
    sampler=dict(type="pinas_mm.PredictorSampler"),
    batch=8,
    images=10000,
    calibration_batches=49,
    memory="2G",
    pruner=None,
    seed=0,
)
