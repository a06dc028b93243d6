"""``tools/rank.py`` behind its command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from mmengine.config import Config
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pinas_mm.analysis.ranking import LEVEL, Ranking, rank
from pinas_mm.analysis.results import Results, in_common, read_results
from pinas_mm.engine.run_search import evaluate
from pinas_mm.errors import UserError
from pinas_mm.export.subnet import read_space
from pinas_mm.export.targets import check_outputs, write_figures
from pinas_mm.files import write_output
from pinas_mm.models.cost import count_costs
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.record.reading import as_score, read_record
from pinas_mm.search.report.figures import draw_ranking, to_png
from pinas_mm.search.report.text import plain
from pinas_mm.search.search import RECORD
from pinas_mm.space import SearchSpace
from pinas_mm.weights.checkpoint import UNTRAINED


@dataclasses.dataclass(frozen=True)
class RankSettings:
    """What is ranked against what.

    Attributes:
        truth: table of stand-alone results.
        scores: another table, a search's work dir or storage, a supernet's checkpoint or its
            http(s) address, or ``untrained``.
        metric, score: columns or metrics, with ``:min`` where less is better.
        cfg: config of the search space and, for a checkpoint, of its ``search``.
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
    check_outputs((settings.out, settings.picture), (settings.truth, scores_file, config))
    space = read_space(settings.cfg)[0] if settings.cfg else None
    metric, score = (as_score(t) if t else None for t in (settings.metric, settings.score))
    if kind == "record":
        url = settings.scores if "://" in settings.scores else scores_file
        searched, score, scores = read_record(url, settings.study, settings.score)
        if space not in (None, searched):
            raise UserError(
                f"the search is of {searched}, --config of {space}: leave --config out, or give "
                "the search's"
            )
        space = searched
    truth = read_results(settings.truth, metric.name if metric else None, space)
    if kind == "table":
        scores = read_results(settings.scores, score.name if score else None, space)
    elif kind == "supernet":
        score, scores = _supernet_scores(settings, truth, score)
    metric = metric or Objective(truth.metric, "maximize")
    score = score or Objective(scores.metric, "maximize")
    keys = in_common(truth, scores, settings.common or kind == "record")
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
    _print(ranking, metric, score, unused)
    if settings.out:
        content = dict(
            truth=dict(source=truth.source, metric=str(metric), architectures_left_out=unused[0]),
            scores=dict(source=scores.source, score=str(score), architectures_left_out=unused[1]),
            resamples=settings.resamples,
            seed=settings.seed,
            level=LEVEL,
            **ranking.to_dict(),
        )
        write_figures(settings.out, content)
        print(plain(settings.out))
    if settings.picture:
        true = np.nanmean(seeds, axis=1)
        write_output(settings.picture, to_png(draw_ranking(true, scored, ranking, metric, score)))
        print(plain(settings.picture))
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


def _supernet_scores(
    settings: RankSettings, truth: Results, score: Objective | None
) -> tuple[Objective, Results]:
    archs = list(truth.texts.values())
    evaluator, score, metrics = evaluate(cast(Config, settings.cfg), settings.scores, archs, score)
    costs = _counted(truth.values, evaluator.backbone, evaluator.image_size)
    found = zip(truth.values, metrics, strict=True)
    values = {key: {"": float(metric[score.name])} for key, metric in found}
    return score, Results(settings.scores, score.name, truth.texts, values, costs)


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


def _print(ranking: Ranking, metric: Objective, score: Objective, unused: Sequence[int]) -> None:
    names = plain(f"{metric.name} by {score.name}")
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
