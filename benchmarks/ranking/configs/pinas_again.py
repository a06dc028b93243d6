# Pi-NAS once more, to be scored in more ways.
_base_ = ["pinas.py"]
