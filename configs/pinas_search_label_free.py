# Search of a supernet without any labels: the cross-path loss of an architecture against random
# partner paths on held-out images. What else can be said to a search is in pinas_search.py.
# python tools/search.py configs/pinas_search_label_free.py work_dirs/pinas_supernet
_base_ = ["pinas_supernet.py"]

# Images come from val_dataloader, those for batch-norm statistics from val_cfg or train_dataloader;
# dataloader and calibration_dataloader here change them for the search.
search = dict(
    score=dict(type="pinas_mm.CrossPathScore", partners=8),
    objectives=["cross_path/score"],
    constraints=[],
    trials=1000,
    images=2000,  # two crops of each are kept
    num_classes=1000,  # of the classifier that costs count; there is none here
)
