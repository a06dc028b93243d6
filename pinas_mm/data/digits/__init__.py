"""Small real data sets in the folder layouts of ImageNet, COCO, ADE20K and Cityscapes."""

from pinas_mm.data.digits.prepare import Report, prepare

__all__ = ["Report", "prepare"]
