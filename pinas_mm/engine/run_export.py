"""``tools/export.py`` behind its command line."""

from __future__ import annotations

import argparse
from typing import Any, cast

from mmengine.config import Config

from pinas_mm.engine.config import read_config
from pinas_mm.errors import UserError
from pinas_mm.export import (
    Deployable,
    check_onnx_installed,
    check_targets,
    hand_over,
    read_best,
    read_network,
    recompute_statistics,
    subnet_of,
    write_onnx,
    write_subnet,
    write_torchscript,
)
from pinas_mm.export.best import Found
from pinas_mm.export.targets import config_files
from pinas_mm.models.batch_norm import batch_norms
from pinas_mm.models.cost import count_costs
from pinas_mm.weights.meta import same_space

# Height and width in pixels where nobody says.
SIZE = 224


def run_export(args: argparse.Namespace) -> None:
    """Writes what is asked for and says it.

    Args:
        args: the options of :mod:`pinas_mm.commands.export`.

    Raises:
        UserError: anything that the user can mend; before any work what can be.
    """
    _check_options(args)
    # Before the search's space is read: they import what it may be built of.
    config = args.config and read_config(args.config, args.cfg_options)
    calibration = args.calibrate and read_config(args.calibrate, args.cfg_options)
    found = read_best(args.best, args.rank) if args.best else None
    _check_targets(args, found)
    if args.weights:
        deployable = Deployable.read(args.weights, config, args.backbone_only)
        print(f"architecture {deployable.metadata['arch']}")
    else:
        deployable = _cut_out(args, config, calibration, found)
    for path, write in ((args.onnx, write_onnx), (args.torchscript, write_torchscript)):
        if path:
            difference = write(path, deployable, args.size or SIZE, args.force)
            outputs = ", ".join(deployable.outputs)
            print(f"{path}: {outputs}; largest difference from PyTorch {difference:.1e}")


def _check_options(args: argparse.Namespace) -> None:
    if args.weights and (args.out or args.model_out or args.supernet or args.calibrate):
        raise UserError(
            "--out, --model-out, --supernet and --calibrate belong to --arch and --best: --weights "
            "are there already, give --onnx or --torchscript"
        )
    if args.model_out and not args.config:
        raise UserError("--model-out needs --config: the config that the search ran with")
    if args.backbone_only and not (args.weights and args.config):
        raise UserError("--backbone-only belongs to --weights with --config")
    if args.onnx:
        check_onnx_installed()


def _check_targets(args: argparse.Namespace, found: Found | None) -> None:
    targets = [args.out, args.onnx, args.torchscript]
    sources = [args.weights, args.supernet]
    sources += [*config_files(args.config), *config_files(args.calibrate)]
    if found:
        sources += [str(found.file), None if args.supernet else found.checkpoint]
    check_targets(targets, sources, args.force, args.model_out)


def _cut_out(
    args: argparse.Namespace,
    config: Config | None,
    calibration: Config | None,
    found: Found | None,
) -> Deployable:
    supernet = args.supernet or (found.checkpoint if found else None)
    if not supernet:
        raise UserError("which supernet? Give --supernet, a checkpoint or a work dir")
    network: dict[str, Any] = dict(space=None)
    if said := config or calibration:
        network = read_network(said)
    if found and not config:
        known = found.network
        if network["space"] and same_space(network["space"], known["space"]):
            # The config's word for it, by which any module is built, and not a file's.
            known["space"] = network["space"]
        network |= known
    arch = found.arch if found else args.arch
    if args.model_out:
        config = cast(Config, config)
        if found:
            found.check_config(config)
        how = args.batches, calibration, args.force
        handed = hand_over(args.model_out, supernet, config, arch, *how)
        backbone, batches = handed.backbone, handed.calibrated
        print(f"{handed.weights}\n{handed.config}")
    else:
        backbone = subnet_of(supernet, arch, **network)
        batches = recompute_statistics(backbone, calibration, args.batches) if calibration else 0
    if args.out:
        write_subnet(args.out, backbone, supernet, batches, args.force)
    print(f"architecture {backbone.arch}")
    cost = count_costs(backbone, args.size or (found and found.image_size) or SIZE)
    size = cast(tuple[int, int], cost.image_size)
    print(f"backbone: {cost.cost(backbone.arch)} at {' x '.join(map(str, size))}")
    if batches:
        print(f"batch-norm statistics: recomputed on {batches} batches")
    elif batch_norms(backbone):
        print(
            "batch-norm statistics: the supernet's, which mix all paths; recompute them "
            f"({'--batches' if args.model_out else '--calibrate CONFIG'}) or train the network "
            "before you use it"
        )
    if args.out:
        print(args.out)
    return Deployable.of(backbone, calibration or config)
