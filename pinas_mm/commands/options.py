"""Options that commands share, and the config that they lead to; parsing them loads no PyTorch."""

from __future__ import annotations

import argparse
import os
import re
from typing import Any, NoReturn

from mmengine.config import Config, DictAction

from pinas_mm.errors import UserError


class CfgOptions(DictAction):
    """mmengine's ``DictAction``, but for values with spaces, and with a line for bad options."""

    SPACE = "\0"

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Parses ``key=value`` options.

        Raises:
            UserError: one has no key or no value.
        """
        for option in values:
            key, sign, value = option.partition("=")
            if not key.strip() or not sign or not value.strip():
                raise UserError(
                    f"{option_string} {option}: give key=value, nested keys joined by dots"
                )
        super().__call__(parser, namespace, [value.strip() for value in values], option_string)
        for key, _, value in (option.partition("=") for option in values):
            # An architecture's text is no number: 0123 is not 123, nor 1e2 a hundred.
            text = value.strip(" \t\r\n'\"")
            if key.rpartition(".")[2] == "arch" and not text.startswith(("[", "(")):
                getattr(namespace, self.dest)[key] = text

    def _parse_iterable(self, val: str) -> Any:  # type: ignore[override]  # mmengine's is static.
        # mmengine's drops all spaces, those inside a path too.
        bare = re.sub(r"\s*([,()\[\]])\s*", r"\1", val.strip())
        try:
            return self._with_spaces(super()._parse_iterable(bare.replace(" ", self.SPACE)))
        except AssertionError as error:
            raise UserError(f"--cfg-options: {val}: {error}".replace(self.SPACE, " ")) from error

    def _with_spaces(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(map(self._with_spaces, value))
        return value.replace(self.SPACE, " ") if isinstance(value, str) else value


class RunParser(argparse.ArgumentParser):
    """A command line that several processes read: what is wrong with it is said by one, in a line.

    Raises:
        UserError: instead of an exit.
    """

    def error(self, message: str) -> NoReturn:
        """Says where the options are explained."""
        raise UserError(f"{message}; see {self.prog} --help")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options that training and testing share, as in the other OpenMMLab repositories."""
    parser.add_argument("config", help="config file, or a library's own as 'mmdet::name.py'")
    parser.add_argument("--work-dir", help="where logs and checkpoints go")
    add_cfg_options(parser)
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """The option that overrides settings of a config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=CfgOptions,
        help="override settings of the config: key=value, nested keys joined by dots",
    )


def refuse_empty(args: argparse.Namespace) -> None:
    """Refuses an empty text, as of a variable that a shell does not know.

    Raises:
        UserError: names the option.
    """
    for name, value in vars(args).items():
        if "" in (value if isinstance(value, list) else [value]):
            raise UserError(
                f"{name.removeprefix('search_')} is empty: give a value, or leave the option out"
            )


def load_config(args: argparse.Namespace) -> Config:
    """The config with the options of :func:`add_run_options` merged in.

    Raises:
        UserError: an option is empty; and what :func:`~pinas_mm.engine.config.read_config`
            raises.
    """
    from pinas_mm.engine.config import read_config, usual_work_dir

    refuse_empty(args)
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg.work_dir = args.work_dir or usual_work_dir(cfg)
    return cfg
