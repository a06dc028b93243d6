# FairNAS: five paths a step, of every block each candidate once.
_base_ = ["spos.py"]

model = dict(paths=dict(type="pinas_mm.FairPaths", num_paths=5))
