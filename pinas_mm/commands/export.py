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

from __future__ import annotations

import argparse

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import add_cfg_options, refuse_empty
from pinas_mm.errors import UserError


def parse_args() -> argparse.Namespace:
    """The options."""
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


@command
def main() -> None:
    """Runs ``pinas-export``."""
    args = parse_args()
    from pinas_mm.engine.run_export import run_export

    kept = "only files whose names stand above are there; the same command begins anew"
    with ending.interruptible(kept):
        refuse_empty(args)
        if args.size is not None and args.size < 1:
            raise UserError(f"--size is {args.size}: at least 1 is allowed")
        run_export(args)
