"""Batch-norm statistics of one architecture's own, from training images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import autocast

from pinas_mm.data.checks import check_data
from pinas_mm.errors import UserError
from pinas_mm.export.finite import check_finite
from pinas_mm.export.subnet import preprocessor_config
from pinas_mm.long_work import LongWork
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.batch_norm import CALIBRATION_BATCHES, Statistics
from pinas_mm.models.calibration import calibration_batch, calibration_pass
from pinas_mm.registry import MODELS, dicts
from pinas_mm.search.evaluation.build import load_calibration
from pinas_mm.whole_numbers import is_whole


def recompute_statistics(
    model: PiNASBackbone | BaseModel, cfg: Config, batches: int | None = None
) -> int:
    """Gives a network the batch-norm statistics of training images, on the GPU if there is one.

    Images come from the ``calibration_dataloader`` of the config's ``search``, ``val_cfg`` or
    ``test_cfg``, or from its ``train_dataloader``, in this order, which is said. With the config of
    a search they are the very batches that it recomputes statistics on.

    Args:
        model: a backbone alone, whose images pass the config's data preprocessor as in evaluation,
            unaugmented; or a whole model, whose neck and heads get theirs too, by
            :func:`~pinas_mm.models.calibration.calibration_pass`. It is left in evaluation mode.
        cfg: config of the supernet, of the model around it or of its search.
        batches: how many to use at most; they weigh equally. None is the search's
            ``calibration_batches``, 49 without one; 0 leaves the statistics as they are.

    Returns:
        How many batches were used.

    Raises:
        UserError: ``batches`` is no such number, the config has no such loader, its data are not
            there, or there is no batch; a parameter is not finite.
    """
    batches = wanted_batches(cfg, batches)
    if batches == 0:
        return 0
    check_finite(model, statistics=False)
    search = cfg.get("search") or {}
    key, loader = checked_loader(cfg)
    print_log(f"statistics from {key} of {cfg.filename}: {', '.join(_roots(loader))}", "current")
    tell_other_images(cfg)
    init_default_scope(cfg.get("default_scope") or "mmpretrain")
    device, home = torch.device(get_device()), next(model.parameters()).device
    loaded = load_calibration(loader, batches, search.get("seed") or 0, keep=False)
    model.to(device).eval()
    progress = LongWork("batches for the statistics", len(loaded))
    run = _on_features(model, cfg, device) if isinstance(model, PiNASBackbone) else _trained(model)

    def numbered() -> Iterator[tuple[int, dict[str, Any]]]:
        for number, data in enumerate(loaded):
            yield number, data
            progress.step()

    with autocast(enabled=bool((cfg.get("test_cfg") or {}).get("fp16"))):
        Statistics(model, run, numbered()).write()
    model.to(home)
    return len(loaded)


def wanted_batches(cfg: Config, batches: int | None) -> int:
    """How many batches the statistics are to be of, as :func:`recompute_statistics` says.

    Raises:
        UserError: it is no whole number from 0 on.
    """
    if batches is None:
        said = (cfg.get("search") or {}).get("calibration_batches")
        batches = CALIBRATION_BATCHES if said is None else said
    if not is_whole(batches, 0):
        raise UserError(
            f"batches for the statistics is {batches!r}: whole numbers from 0 on are "
            "allowed; 0 leaves them as they are"
        )
    return batches


def _trained(model: BaseModel) -> Callable[[tuple[int, dict[str, Any]]], None]:
    """Runs a whole model on a numbered batch as loaded."""

    def run(numbered: tuple[int, dict[str, Any]]) -> None:
        number, data = numbered
        calibration_pass(model, calibration_batch(model, data), number)

    return run


def _on_features(
    backbone: PiNASBackbone, cfg: Config, device: torch.device
) -> Callable[[tuple[int, dict[str, Any]]], None]:
    """Runs a backbone on a numbered batch as loaded."""
    config = preprocessor_config(cfg) or dict(type="BaseDataPreprocessor")
    preprocessor = MODELS.build(config).to(device)

    def run(numbered: tuple[int, dict[str, Any]]) -> None:
        inputs = preprocessor(numbered[1], False)["inputs"]
        # Crops of the same images, where the pipeline makes several.
        for crop in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
            backbone(crop)

    return run


def tell_other_images(cfg: Config) -> None:
    """Says where a config calibrates on other images than it trains on: a base's, it may be."""
    trained = _roots(cfg.get("train_dataloader") or {})
    for key in ("search", "val_cfg", "test_cfg"):
        loader = (cfg.get(key) or {}).get("calibration_dataloader") or {}
        roots = _roots(loader)
        if trained and roots and roots != trained:
            print_log(
                f"{key}.calibration_dataloader reads {', '.join(roots)}, train_dataloader "
                f"{', '.join(trained)}: statistics of other images; set both if that is not meant",
                "current",
                logging.WARNING,
            )


def _roots(loader: dict[str, Any]) -> list[str]:
    return sorted({str(part["data_root"]) for part in dicts(loader) if part.get("data_root")})


def checked_loader(cfg: Config) -> tuple[str, dict[str, Any]]:
    """What :func:`calibration_loader` gives.

    Raises:
        UserError: there is none, or its data are not there.
    """
    key, loader = calibration_loader(cfg)
    check_data("calibration", loader, key)
    return key, loader


def calibration_loader(cfg: Config) -> tuple[str, dict[str, Any]]:
    """Key and config of the loader that the config's own evaluation calibrates with.

    Raises:
        UserError: there is none, or the data set of the search's is a number, a text or a list.
    """
    # Not a variable at the top of the config: a base leaves one behind that nothing reads.
    for key in ("search", "val_cfg", "test_cfg"):
        loader = (cfg.get(key) or {}).get("calibration_dataloader")
        if loader and key == "search" and not stands_alone(loader, f"{key}.calibration_dataloader"):
            _, usual = calibration_loader(Config({**cfg, "search": None}, filename=cfg.filename))
            loader = changed_loader(usual, loader)
        if loader:
            return f"{key}.calibration_dataloader", loader
    if cfg.get("train_dataloader") and cfg.get("model"):
        return "train_dataloader", cfg.train_dataloader
    raise UserError(
        f"config {cfg.filename} has no calibration_dataloader in search, val_cfg or test_cfg, and "
        "no train_dataloader: give the supernet's, its classifier's or its search's"
    )


def stands_alone(loader: Any, key: str) -> bool:
    """Whether a loader of a search stands by itself, and does not change settings of the usual one.

    Args:
        loader: its config.
        key: what the message calls it.

    Raises:
        UserError: its data set is a number, a text or a list.
    """
    data_set = (loader.get("dataset") if isinstance(loader, Mapping) else None) or {}
    if isinstance(data_set, (bool, int, float, str, list, tuple)):
        raise UserError(f"{key}.dataset is {data_set!r}: give a data set's config")
    return not isinstance(data_set, Mapping) or bool(data_set.get("type"))


def changed_loader(usual: dict[str, Any], changes: Any) -> dict[str, Any]:
    """A loader's config with a search's changes merged in."""
    merged = Config(dict(loader=usual))
    merged.merge_from_dict(dict(loader=changes))
    return merged.loader
