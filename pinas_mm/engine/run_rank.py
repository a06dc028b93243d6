"""``tools/rank.py`` behind its command line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from mmengine.config import Config
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pinas_mm.analysis.ranking import LEVEL, Ranking, rank
from pinas_mm.analysis.results import ARCH, Results, in_common, read_results
from pinas_mm.engine.run_search import evaluate
from pinas_mm.errors import UserError
from pinas_mm.export.subnet import read_space
from pinas_mm.export.targets import check_outputs, write_json
from pinas_mm.files import write_output
from pinas_mm.models.cost import count_costs
from pinas_mm.search.budget.objective import Objective, parse_objectives
from pinas_mm.search.record.reading import as_score, directed, read_record
from pinas_mm.search.report.figures import draw_ranking, to_png
from pinas_mm.search.report.text import printable
from pinas_mm.search.search import RECORD
from pinas_mm.space import SearchSpace
from pinas_mm.weights.checkpoint import UNTRAINED
from pinas_mm.weights.meta import same_space

# A supernet's scores, in the config's work dir: a table, which another ranking can take.
SCORES = "scores.json"
# Architectures without a number are named up to this many; the JSON has all.
MOST_NAMED = 5


@dataclasses.dataclass(frozen=True)
class RankSettings:
    """What is ranked against what.

    Attributes:
        truth: table of stand-alone results.
        scores: another table, a search's work dir or storage, a supernet's checkpoint or its
            http(s) address, or ``untrained``.
        metric, score: columns or metrics, with ``:min`` where less is better. Without a direction
            they have that of the objective of their name in the record or in ``cfg``; where there
            is none, more is better.
        cfg: config of the search space and, for a checkpoint, of its ``search``, with a
            ``work_dir``, where ``scores.json`` keeps all that is scored.
        study: name of the study in a storage.
        common: whether architectures that only one of two tables has are left out.
        size: height and width of the images for the costs, where the config's space gives them.
        tops, resamples, seed: see :func:`~pinas_mm.analysis.ranking.rank`.
        out, picture: JSON and PNG files to write.
    """

    truth: str
    scores: str
    metric: str | None = None
    score: str | None = None
    cfg: Config | None = None
    study: str = "search"
    common: bool = False
    size: int = 224
    tops: Sequence[int] = ()
    resamples: int = 0
    seed: int = 0
    out: str | None = None
    picture: str | None = None


def run_rank(settings: RankSettings) -> Ranking:
    """Compares, prints a table and writes the files asked for.

    Raises:
        UserError: anything that the user can mend.
    """
    kind = _kind(settings)
    scores_file = Path(settings.scores) / RECORD if kind == "record" else settings.scores
    config = settings.cfg.filename if settings.cfg else None
    kept = Path(cast(Config, settings.cfg).work_dir, SCORES) if kind == "supernet" else None
    # It may also be the name of a folder here, which is not meant.
    read = None if settings.scores == UNTRAINED else scores_file
    check_outputs((settings.out, settings.picture, kept), (settings.truth, read, config))
    space = read_space(settings.cfg)[0] if settings.cfg else None
    known = _objectives(settings.cfg)
    if kind == "record":
        url = settings.scores if "://" in settings.scores else scores_file
        searched, _, scores, own = read_record(url, settings.study, settings.score)
        known = *own, *known
        if space and not same_space(space, searched):
            raise UserError(
                f"the search is of {searched}, --config of {space}: leave --config out, or give "
                "the search's"
            )
        space = space or searched
    metric, score = (as_score(t, known) if t else None for t in (settings.metric, settings.score))
    truth = read_results(settings.truth, metric.name if metric else None, space)
    if kind == "table":
        scores = read_results(settings.scores, score.name if score else None, space)
    elif kind == "supernet":
        score, scores = _supernet_scores(settings, truth, cast(Path, kept))
    metric = metric or directed(truth.metric, known)
    score = score or directed(scores.metric, known)
    if not scores.values:
        raise UserError(f"{scores.source}: {score.name} is no finite number for any architecture")
    keys = in_common(truth, scores, settings.common or kind != "table")
    seeds, scored = truth.matrix(keys), np.nanmean(scores.matrix(keys), axis=1)
    try:
        ranking = rank(
            metric.sign * seeds,
            score.sign * scored,
            _costs(keys, truth, scores, space, settings.size),
            settings.tops,
            settings.resamples,
            settings.seed,
        )
    except UserError as error:
        raise UserError(f"{truth.source} against {scores.source}: {error}") from None
    unused = tuple(len(results.values) - len(keys) for results in (truth, scores))
    _print(ranking, metric, score, unused, scores.left_out)
    if settings.out:
        content = dict(
            truth=dict(source=truth.source, metric=str(metric), architectures_left_out=unused[0]),
            scores=dict(
                source=scores.source,
                score=str(score),
                architectures_left_out=unused[1],
                without_number=scores.left_out,
            ),
            resamples=settings.resamples,
            seed=settings.seed,
            level=LEVEL,
            **ranking.to_dict(),
        )
        write_json(settings.out, content)
        print(printable(settings.out))
    if settings.picture:
        true = np.nanmean(seeds, axis=1)
        write_output(settings.picture, to_png(draw_ranking(true, scored, ranking, metric, score)))
        print(printable(settings.picture))
    return ranking


def _kind(settings: RankSettings) -> str:
    """What the scores are."""
    path = Path(settings.scores)
    download = settings.scores.startswith(("http://", "https://"))
    if (not download and "://" in settings.scores) or (path / RECORD).is_file():
        return "record"
    if download or path.is_dir() or path.suffix == ".pth" or settings.scores == UNTRAINED:
        if settings.cfg is None or not settings.cfg.get("search"):
            raise UserError(
                f"{settings.scores} is a supernet's unless it has a {RECORD}: give --config, a "
                "config with `search`, that says how to score its architectures"
            )
        return "supernet"
    return "table"


def _objectives(cfg: Config | None) -> tuple[Objective, ...]:
    """Those of a config's search, which say which way their metrics are better."""
    search = cfg.get("search") if cfg else None
    said = search.get("objectives") if isinstance(search, dict) else None
    return parse_objectives(said) if isinstance(said, (str, list, tuple)) else ()


def _supernet_scores(
    settings: RankSettings, truth: Results, file: Path
) -> tuple[Objective, Results]:
    """What a supernet gives the architectures of a table, also kept in a file of its own: it took
    its time, and nothing may come of the ranking.
    """
    cfg, archs = cast(Config, settings.cfg), list(truth.texts.values())
    evaluator, score, metrics = evaluate(cfg, settings.scores, archs, settings.score)
    costs = _counted(truth.values, evaluator.backbone, evaluator.image_size)
    found = dict(zip(truth.values, metrics, strict=True))
    numbers = {key: [float(known[score.name])] for key, known in found.items()}
    scores = Results.of_numbers(settings.scores, score.name, numbers, costs)
    rows = [
        {
            ARCH[0]: key,
            **{n: v if math.isfinite(v) else None for n, v in found[key].items()},
            **costs[key],
        }
        for key in scores.values
    ]
    write_json(file, rows)
    print(printable(str(file)))
    return score, scores


def _costs(
    keys: Sequence[str], truth: Results, scores: Results, space: SearchSpace | None, size: int
) -> dict[str, list[float]]:
    """Parameters and multiply-adds: a table's, or counted where the space is known."""
    costs = truth.costs or scores.costs
    if not costs and space is not None:
        costs = _counted(keys, space, size)
    names = next(iter(costs.values()), {})
    return {name: [costs[key][name] for key in keys] for name in names}


def _counted(keys: Any, network: Any, size: Any) -> dict[str, dict[str, float]]:
    # A classifier costs all architectures the same, and changes no rank.
    table = count_costs(network, size, 0)
    return {
        key: dict(params=float(cost.params), macs=float(cost.macs))
        for key, cost in ((key, table.cost(key)) for key in keys)
    }


def _print(
    ranking: Ranking,
    metric: Objective,
    score: Objective,
    unused: Sequence[int],
    without: Sequence[str],
) -> None:
    names = printable(f"{metric.name} by {score.name}")
    # As text, since a column's name may look like markup.
    table = Table(title=Text(f"{names}, {ranking.number} architectures"))
    table.add_column("measure")
    table.add_column(f"value ({LEVEL:.0%} interval)")
    for name, measure in ranking.named().items():
        table.add_row(name, measure.shown())
    console = Console()
    console.print(table)
    if any(unused):
        console.print(
            f"left out: {unused[0]} architectures without a score, {unused[1]} without a true value"
        )
    if without:
        more = f" and {len(without) - MOST_NAMED} more" if len(without) > MOST_NAMED else ""
        named = f"no finite score: {', '.join(without[:MOST_NAMED])}{more}"
        console.print(Text(named), soft_wrap=True)
