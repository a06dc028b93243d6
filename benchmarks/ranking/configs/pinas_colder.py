# Pi-NAS with another temperature than its 0.2.
_base_ = ["pinas.py"]

model = dict(head=dict(pair=dict(temperature=0.05)))
