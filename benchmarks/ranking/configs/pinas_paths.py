# Pi-NAS whose paths have three partners each instead of one.
_base_ = ["pinas.py"]

model = dict(data_preprocessor=dict(num_views=8), paths=dict(num_paths=4))
