#!/usr/bin/env python
"""Kills trainings and searches at random moments and counts what that costs.

A campaign disturbs real runs of the tools until it has killed ``--kills`` processes by SIGKILL:

* ``training``: tools/train.py with --resume, by epochs, by iterations, and with checkpoints in the
  middle of epochs; killed while it starts, trains and writes; stopped (SIGSTOP) now and then.
* ``sqlite``: tools/search.py with two workers on a SQLite record; killed are the process that shows
  the search, its helper, or both; stopped also for longer than ``grace``.
* ``postgresql``: the same on a PostgreSQL server, which is restarted now and then.

After each few kills a run may go on undisturbed to its end and is compared with an unbroken run.
What is counted is in ``processes.Round``: iterations, validations and trials that are lost or
doubled, losses, metrics and weights that differ in any bit, files that are cut off or left behind,
starts that ended otherwise than with status 0. All must be 0; else the exit status is 1.

    python tests/campaigns/kills.py --what all --kills 100 --seed 0 --out docs/campaigns.json

takes about an hour and a half on two cores. Processes are forked from this one, which has imported
the libraries. What is done so far is kept in ``--work-dir``: a campaign that is killed itself goes
on with the round that it was in, as long as the code is the same. The moments follow from the seed,
but what they hit depends on the machine. Not among the tests that ``make test`` runs.
"""

import argparse
import contextlib
import dataclasses
import datetime
import hashlib
import importlib
import json
import os
import platform
import random
import shutil
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from processes import REPOSITORY, Round
from searching import PostgreSQLSearches, SQLiteSearches
from training import Trainings

from pinas_mm.data.digits import prepare
from pinas_mm.files import write_json

CAMPAIGNS = {
    "training": Trainings,
    "sqlite": SQLiteSearches,
    "postgresql": PostgreSQLSearches,
}
# What the tools' processes find imported.
STACK = (
    "pinas_mm.engine.run_search",
    "mmpretrain.datasets",
    "mmpretrain.models",
    "mmpretrain.visualization",
    "torch.utils.tensorboard",
)
# A run is left alone after so many kills.
KILLS = 10


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", choices=["all", *CAMPAIGNS], default="all")
    parser.add_argument("--kills", type=int, default=100, help="of each campaign")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("campaigns.json"), help="result, as JSON")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/campaigns"))
    return parser.parse_args()


def campaign(what: str, args: argparse.Namespace) -> dict:
    """Disturbs runs until enough were killed; goes on where it was."""
    folder = args.work_dir.resolve() / f"{what}_{args.seed}_{sources()}"
    file = folder / "progress.json"
    progress = json.loads(file.read_text()) if file.exists() else []
    with contextlib.closing(CAMPAIGNS[what](folder, KILLS)) as runs:
        while (killed := sum(done["kills"] for done in progress)) < args.kills:
            number, began = len(progress), time.monotonic()
            rng = random.Random(f"{what} {args.seed} {number}")
            done = runs.round(number, rng, min(KILLS, args.kills - killed))
            progress.append(dataclasses.asdict(done) | dict(seconds=time.monotonic() - began))
            write_json(file, progress)
            if not done.faults:
                shutil.rmtree(folder / f"round_{number}", ignore_errors=True)
            print(
                f"{what}: {killed + done.kills} of {args.kills} kills; {counts([done])}", flush=True
            )
            for fault in done.faults:
                print(f"  {fault}", flush=True)
            if done.faults and not done.kills:
                break  # Nothing runs long enough to be killed.
    rounds = [Round(**{k: v for k, v in done.items() if k != "seconds"}) for done in progress]
    return dict(
        command="python tests/campaigns/kills.py "
        f"--what {what} --kills {args.kills} --seed {args.seed}",
        seed=args.seed,
        sources=sources(),
        machine=dict(
            system=platform.platform(),
            cores=os.cpu_count(),
            python=platform.python_version(),
            torch=torch.__version__,
        ),
        date=datetime.date.today().isoformat(),
        minutes=round(sum(done["seconds"] for done in progress) / 60, 1),
        rounds=len(rounds),
        **counts(rounds),
        faults=[fault for done in rounds for fault in done.faults],
    )


def sources() -> str:
    """Digest of the code that runs: a campaign is of one state of it."""
    digest = hashlib.sha256()
    for part in ("pinas_mm", "tools", "configs", "tests/configs", "tests/campaigns"):
        for path in sorted((REPOSITORY / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def counts(rounds: list[Round]) -> dict[str, int]:
    """The sums of all counts."""
    names = [field.name for field in dataclasses.fields(Round) if field.name != "faults"]
    return {name: sum(getattr(done, name) for done in rounds) for name in names}


def main() -> int:
    args = parse_args()
    torch.set_num_threads(1)
    for module in STACK:
        importlib.import_module(module)
    data = args.work_dir.resolve() / "data"
    if not (data / "done").exists():
        shutil.rmtree(data, ignore_errors=True)
        list(prepare(data, ["imagenet"], train=16, val=8))
        (data / "done").touch()
    os.environ["PINAS_DATA"] = str(data)
    for what in CAMPAIGNS if args.what == "all" else [args.what]:
        result = campaign(what, args)
        results = json.loads(args.out.read_text()) if args.out.exists() else {}
        results[what] = result
        write_json(args.out, results)
    print(f"results: {args.out}")
    return int(any(result["faults"] for result in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
