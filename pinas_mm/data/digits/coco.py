"""COCO's instance annotations: one JSON file with images, outlines and the 80 categories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pinas_mm.data.digits.scenes import Scene
from pinas_mm.stack import needs

# Supercategory, then id and name of each of its categories, in COCO's order.
_CATEGORIES = """
person: 1 person
vehicle: 2 bicycle, 3 car, 4 motorcycle, 5 airplane, 6 bus, 7 train, 8 truck, 9 boat
outdoor: 10 traffic light, 11 fire hydrant, 13 stop sign, 14 parking meter, 15 bench
animal: 16 bird, 17 cat, 18 dog, 19 horse, 20 sheep, 21 cow, 22 elephant, 23 bear, 24 zebra
animal: 25 giraffe
accessory: 27 backpack, 28 umbrella, 31 handbag, 32 tie, 33 suitcase
sports: 34 frisbee, 35 skis, 36 snowboard, 37 sports ball, 38 kite, 39 baseball bat
sports: 40 baseball glove, 41 skateboard, 42 surfboard, 43 tennis racket
kitchen: 44 bottle, 46 wine glass, 47 cup, 48 fork, 49 knife, 50 spoon, 51 bowl
food: 52 banana, 53 apple, 54 sandwich, 55 orange, 56 broccoli, 57 carrot, 58 hot dog, 59 pizza
food: 60 donut, 61 cake
furniture: 62 chair, 63 couch, 64 potted plant, 65 bed, 67 dining table, 70 toilet
electronic: 72 tv, 73 laptop, 74 mouse, 75 remote, 76 keyboard, 77 cell phone
appliance: 78 microwave, 79 oven, 80 toaster, 81 sink, 82 refrigerator
indoor: 84 book, 85 clock, 86 vase, 87 scissors, 88 teddy bear, 89 hair drier, 90 toothbrush
"""


def categories() -> list[dict[str, int | str]]:
    """COCO's 80 categories with their official ids (1 to 90, with gaps) and names."""
    found: list[dict[str, int | str]] = []
    for line in _CATEGORIES.strip().splitlines():
        group, members = line.split(": ")
        for member in members.split(", "):
            number, name = member.split(" ", 1)
            found.append({"supercategory": group, "id": int(number), "name": name})
    return found


class SceneAnnotations:
    """The annotations of one split, collected scene by scene.

    Raises:
        UserError: pycocotools, which encodes the masks, is not installed.
    """

    def __init__(self) -> None:
        needs("pycocotools", what="the coco layout")
        from pycocotools import mask

        self._mask = mask
        self._categories = categories()
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, image_id: int, file_name: str, scene: Scene) -> None:
        """Adds a scene's image and one annotation for each of its digits.

        Boxes, areas and masks are those of the visible pixels. Masks are run-length encoded
        because digits have holes, which COCO's polygons cannot have.
        """
        height, width = scene.image.shape[:2]
        self._images.append(
            {"id": image_id, "file_name": file_name, "height": height, "width": width}
        )
        for label, visible in zip(scene.labels, scene.masks, strict=True):
            code = self._mask.encode(np.asfortranarray(visible.astype(np.uint8)))
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": self._categories[label]["id"],
                    "bbox": self._mask.toBbox(code).tolist(),
                    "area": int(self._mask.area(code)),
                    "segmentation": {
                        "size": [height, width],
                        "counts": code["counts"].decode("ascii"),
                    },
                    "iscrowd": 0,
                }
            )

    def write(self, path: Path) -> None:
        """Writes the JSON file."""
        names = ", ".join(
            f"{digit} is '{category['name']}'"
            for digit, category in enumerate(self._categories[:10])
        )
        content = {
            "info": {
                "description": "Handwritten digits on photographs. The categories are COCO's, "
                f"so that its readers take the file as it is, but stand for digits: {names}; "
                "the others have no instances."
            },
            "licenses": [],
            "images": self._images,
            "annotations": self._annotations,
            "categories": self._categories,
        }
        path.write_text(json.dumps(content), newline="\n")
