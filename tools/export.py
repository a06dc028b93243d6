#!/usr/bin/env python
"""Writes weights and model of a searched architecture, ONNX and TorchScript of a trained network.

--arch or --best cuts an architecture's stand-alone backbone from a trained supernet; the file of
--out loads into pinas_mm.PiNASBackbone of this architecture and space, also by
init_cfg=dict(type='Pretrained', checkpoint=FILE). Where the supernet stands in a detector, a
segmentor or a classifier, --model-out DIR writes that whole model with the architecture in its
place: DIR/DIR.pth and DIR/DIR.py, for tools/test.py and tools/train.py. --config is then the
config of the search, with the --cfg-options that the search had; statistics are recomputed on
images of it or of --calibrate's. --weights takes a file of --out or, with --config,
a checkpoint of an mmpretrain classifier. Either goes on to --onnx and --torchscript: input "images"
(N, C, H, W), float32, normalized, of any N, H and W; outputs "logits", or "stage1", "stage2", ...
of a backbone. What they compute is compared with PyTorch before they are written.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm import ending

ending.while_loading()

from pinas_mm.engine.config import add_cfg_options, read_config, refuse_empty
from pinas_mm.engine.faults import one_line_errors
from pinas_mm.errors import UserError
from pinas_mm.export import (
    Deployable,
    check_onnx_installed,
    check_targets,
    hand_over,
    read_best,
    read_space,
    recompute_statistics,
    subnet_of,
    write_onnx,
    write_subnet,
    write_torchscript,
)
from pinas_mm.models.batch_norm import batch_norms
from pinas_mm.models.cost import count_costs

# Height and width in pixels where nobody says.
SIZE = 224


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--arch", help="the architecture, as 301-3231-203213-032")
    which.add_argument("--best", metavar="DIR", help="take it from a search's work dir")
    which.add_argument(
        "--weights",
        metavar="FILE",
        help="weights that --out wrote, or a checkpoint or work dir of --config's model",
    )
    out = parser.add_argument_group("what to write, at least one")
    out.add_argument("--out", metavar="FILE", help="the backbone's weights, of --arch or --best")
    out.add_argument(
        "--model-out",
        metavar="DIR",
        help="weights and config of the whole model that --config's SinglePath is around",
    )
    out.add_argument("--onnx", metavar="FILE", help="ONNX")
    out.add_argument("--torchscript", metavar="FILE", help="TorchScript, for torch.jit.load")
    out.add_argument("--force", action="store_true", help="replace files that are there")
    cut = parser.add_argument_group("with --arch or --best")
    cut.add_argument("--rank", type=int, default=1, help="which of the best (default: 1)")
    cut.add_argument(
        "--supernet",
        metavar="CHECKPOINT",
        help="checkpoint or work dir of the supernet (default: the search's)",
    )
    cut.add_argument(
        "--calibrate",
        metavar="CONFIG",
        help="recompute batch-norm statistics on training images of this config: the supernet's, "
        "its classifier's or its search's",
    )
    cut.add_argument(
        "--batches",
        type=int,
        help="to recompute them on (default: the search's, else 49); 0 with --model-out keeps the "
        "supernet's",
    )
    parser.add_argument(
        "--config",
        help="with --arch or --best, config whose space to use (default: that of the search, of "
        "--calibrate's config, or the paper's), and whose model --model-out takes; with --weights, "
        "config of their model",
    )
    parser.add_argument(
        "--backbone-only",
        action="store_true",
        help="with --weights and --config, leave neck and head out",
    )
    add_cfg_options(parser)
    parser.add_argument(
        "--size",
        type=int,
        help="image size of the costs printed and of the comparison (default: 224, of the costs "
        "of --best that of the search)",
    )
    return parser.parse_args()


def check_args(args: argparse.Namespace) -> None:
    """What can be refused before any work."""
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
    targets = [args.out, args.onnx, args.torchscript]
    check_targets(targets, [args.weights, args.supernet], args.force, args.model_out)


def cut_out(args: argparse.Namespace) -> Deployable:
    config = args.config and read_config(args.config, args.cfg_options)
    calibration = args.calibrate and read_config(args.calibrate, args.cfg_options)
    found = read_best(args.best, args.rank) if args.best else None
    supernet = args.supernet or (found.checkpoint if found else None)
    if not supernet:
        raise UserError("which supernet? Give --supernet, a checkpoint or a work dir")
    space, norm_cfg = None, None
    if config or calibration:
        space, norm_cfg = read_space(config or calibration)
    if found and not config:
        space = found.space
    arch = found.arch if found else args.arch
    if args.model_out:
        if found:
            found.check_config(config)
        how = args.batches, calibration, args.force
        handed = hand_over(args.model_out, supernet, config, arch, *how)
        backbone, batches = handed.backbone, handed.calibrated
        print(f"{handed.weights}\n{handed.config}")
    else:
        try:
            backbone = subnet_of(supernet, arch, space, norm_cfg)
        except UserError as error:
            hint = "" if space else " (the paper's space was assumed: --config gives another)"
            raise UserError(f"{error}{hint}") from error
        batches = recompute_statistics(backbone, calibration, args.batches) if calibration else 0
    if args.out:
        write_subnet(args.out, backbone, supernet, batches)
    print(f"architecture {backbone.arch}")
    cost = count_costs(backbone, args.size or (found and found.image_size) or SIZE)
    print(f"backbone: {cost.cost(backbone.arch)} at {' x '.join(map(str, cost.image_size))}")
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


@one_line_errors
@ending.interruptible("only files whose names stand above are there; the same command begins anew")
def main() -> None:
    args = parse_args()
    refuse_empty(args)
    check_args(args)
    if args.weights:
        config = args.config and read_config(args.config, args.cfg_options)
        deployable = Deployable.read(args.weights, config, args.backbone_only)
        print(f"architecture {deployable.metadata['arch']}")
    else:
        deployable = cut_out(args)
    for path, write in ((args.onnx, write_onnx), (args.torchscript, write_torchscript)):
        if path:
            difference = write(path, deployable, args.size or SIZE)
            outputs = ", ".join(deployable.outputs)
            print(f"{path}: {outputs}; largest difference from PyTorch {difference:.1e}")


if __name__ == "__main__":
    main()
