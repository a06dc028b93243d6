#!/usr/bin/env python
"""Do supernets rank their subnets as training them alone does? From images to every number.

    python benchmarks/ranking/run.py --alone --out benchmarks/ranking/alone.json
    python benchmarks/ranking/run.py --table benchmarks/ranking/alone.json --out docs/ranking.json
    python benchmarks/ranking/run.py --results docs/ranking.json --out docs/ranking.json
    python benchmarks/ranking/run.py --reduced --work-dir work_dirs/ranking_reduced

Architectures are trained alone from scratch, contenders train supernets, and every architecture is
scored by every supernet; then ``benchmarks/ranking/report.py`` makes tables and figures. The third
command adds the contenders and longer trainings that earlier results lack. What is done in
``--work-dir`` is not done again: a run that was killed goes on. All cores are kept busy.
``--reduced`` does the same on a few architectures with next to no training, to see that all works.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[:3]]

from alone import Recipe
from contenders import CONFIGS, CONTENDERS, ZERO_COST, Contest
from digits import SPLITS, write_images
from mmengine.config import Config
from results import facts
from table import Table, spread_over_accuracy, spread_over_cost

from pinas_mm.analysis.results import read_results
from pinas_mm.commands.command import command
from pinas_mm.demo.jobs import run_chains
from pinas_mm.errors import UserError
from pinas_mm.files import check_output, check_writable, write_json
from pinas_mm.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        archs: of the table.
        seeds: of the architectures alone.
        steps: of an architecture's training.
        longer: how many times as long some architectures are trained again, to see whether the
            table still gains.
        retrained: how many of them.
        images: of each split.
        supernets: seeds of the supernets.
        contenders: how many, the first ones.
        epochs: of the supernets' trainings; None is their configs'.
        shift_images, shift_pairs: that shifts are measured on.
    """

    archs: int = 160
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 1600
    longer: tuple[int, ...] = (3, 9)
    retrained: int = 10
    images: tuple[tuple[str, int], ...] = tuple(SPLITS.items())
    supernets: tuple[int, ...] = (0, 1, 2)
    contenders: tuple[str, ...] = tuple(contender.name for contender in CONTENDERS)
    epochs: int | None = None
    shift_images: int = 256
    shift_pairs: int = 16


FULL = Scale()
REDUCED = Scale(
    archs=12,
    seeds=(0, 1),
    steps=60,
    longer=(3,),
    retrained=3,
    images=(("train", 640), ("val", 200), ("test", 300)),
    supernets=(0,),
    contenders=("pinas", "spos", "pinas_labels"),
    epochs=2,
    shift_images=64,
    shift_pairs=2,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/ranking"))
    parser.add_argument(
        "--reduced", action="store_true", help="a few minutes; figures mean nothing"
    )
    parser.add_argument("--alone", action="store_true", help="the architectures alone, no supernet")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument(
        "--table",
        type=Path,
        help="architectures alone, of an earlier run; with --alone the longer trainings that it "
        "lacks are added",
    )
    earlier.add_argument(
        "--results",
        type=Path,
        help="an earlier run's whole results; the contenders and longer trainings that they lack "
        "are added",
    )
    parser.add_argument("--out", type=Path, help="JSON; default: results.json in the work dir")
    return parser.parse_args()


def space() -> SearchSpace:
    """The benchmark's."""
    return SearchSpace.build(Config.fromfile(CONFIGS / "space.py").ranking_space.to_dict())


def recipe(steps: int) -> Recipe:
    """Of the architectures alone; views are those of the supernets that are trained with labels."""
    views = Config.fromfile(CONFIGS / "digits.py").labelled_views.to_dict()
    return Recipe(steps=steps, batch=64, lr=0.2, weight_decay=5e-4, augment=views)


def make_table(scale: Scale, work_dir: Path, images: Path, given: Path | None) -> Path:
    """Trains architectures alone; the file with all of them.

    Args:
        scale: how much.
        work_dir: where it goes.
        images: folder of the images.
        given: an earlier run's table, whose architectures are not trained again; None for none.
    """
    file = work_dir / "alone.json"
    usual = Table(
        space=space(),
        archs=spread_over_cost(space(), scale.archs),
        seeds=scale.seeds,
        recipe=recipe(scale.steps),
        images=images,
        folder=work_dir / "alone",
    )
    if file.is_file() or given:
        content = json.loads((file if file.is_file() else given).read_text())
    else:
        content = facts(__file__) | usual.make()
        content |= dict(recipe=dataclasses.asdict(usual.recipe))
    longer = {made["steps"]: made for made in content.get("longer", ())}
    for steps in (times * scale.steps for times in scale.longer):
        if steps not in longer:
            table = dataclasses.replace(
                usual,
                archs=spread_over_accuracy(space(), content["rows"], scale.retrained),
                recipe=recipe(steps),
                folder=work_dir / f"alone_{steps}",
            )
            trained = facts(__file__) | table.make()
            longer[steps] = dict(steps=steps, **trained)
    write_json(file, content | dict(longer=list(longer.values())))
    return file


@command
def main() -> None:
    args = parse_args()
    scale = REDUCED if args.reduced else FULL
    # What one has done is nothing to the other.
    work_dir = args.work_dir / "reduced" if args.reduced else args.work_dir
    check_writable(work_dir, "--work-dir")
    out = args.out or work_dir / "results.json"
    check_output(str(out))
    earlier = read_earlier(args.results) if args.results else {}
    if args.table:
        read_results(args.table, "accuracy", space())
    images = write_images(work_dir / "images", dict(scale.images))
    given = args.table
    if earlier:
        given = work_dir / "earlier.json"
        write_json(given, earlier["table"])
    # Supernets need no more of a table than it has.
    table = given if args.table and not args.alone else make_table(scale, work_dir, images, given)
    if args.alone:
        write_json(out, json.loads(table.read_text()))
        print(out)
        return
    there = earlier.get("contest", {})
    contest = Contest(
        contenders=[c for c in CONTENDERS if c.name in set(scale.contenders) - set(there)],
        seeds=scale.supernets,
        table=table,
        folder=work_dir / "supernets",
        shift_images=scale.shift_images,
        shift_pairs=scale.shift_pairs,
        epochs=scale.epochs,
        untrained=ZERO_COST not in there,
    )
    run_chains(contest.chains(), images)
    write_json(out, joined(earlier, json.loads(table.read_text()), contest.results()))
    print(out)


def read_earlier(file: Path) -> dict[str, Any]:
    """An earlier run's whole results.

    Raises:
        UserError: the file has others.
    """
    try:
        content = json.loads(file.read_text())
        if content.keys() >= {"table", "contest"}:
            return content
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"--results {file} cannot be read as JSON of a run ({error})") from error
    raise UserError(
        f"--results {file} has {', '.join(content)}: results of a whole run have table and "
        "contest; architectures alone are given by --table"
    )


def joined(
    earlier: Mapping[str, Any], table: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """A run's results, or an earlier run's with what it lacked.

    Args:
        earlier: results, or nothing.
        table: of the architectures alone, the earlier ones among them.
        found: by contender.
    """
    made = facts(__file__)
    if not earlier:
        return dict(**made, table=table, contest=found)
    everything = earlier["contest"] | found
    names = [name for name in (*(c.name for c in CONTENDERS), ZERO_COST) if name in everything]
    added = earlier.get("added", {}) | dict.fromkeys(found, made)
    contest = {name: everything[name] for name in names}
    return earlier | dict(table=table, contest=contest, added=added)


if __name__ == "__main__":
    main()
