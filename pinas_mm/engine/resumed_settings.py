"""A resumed run's learning rates: the config's settings, the checkpoint's momenta and counters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, cast

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from pinas_mm.errors import UserError

# What of a schedule's state is its progress; all else comes from the config and its length.
PROGRESS = frozenset(
    ("last_step", "_global_step", "_last_value", "best", "num_bad_epochs", "cooldown_counter")
)


class ResumedSettings:
    """Takes a config's settings of optimizer and schedules where mmengine takes the checkpoint's.

    A run that is resumed for more epochs, or with another learning rate, is from there on the one
    that its config describes. Where nothing has changed, nothing is done.
    """

    def __init__(self) -> None:
        self._steps: tuple[int, int] | None = None

    def take(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compares, says what differs, and changes the checkpoint before mmengine loads it.

        Args:
            runner: its optimizer and its schedules are as the config describes them.
            checkpoint: a training's; changed in place.

        Raises:
            UserError: it is of another optimizer or of other parameters.
        """
        # As mmengine does after it: only train() has built them.
        wrapper: Any = runner.optim_wrapper
        runner.optim_wrapper = runner.build_optim_wrapper(wrapper)
        if runner.param_schedulers is not None:
            runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        groups = list(_groups(runner, checkpoint))
        settings = _differences(groups)
        schedules = _by_name(runner.param_schedulers or [])
        saved = _by_name(checkpoint.get("param_schedulers") or [])
        changes = settings | _schedule_differences(schedules, saved)
        if not changes:
            return
        said = ", ".join(f"{name} {new} (was {old})" for name, (old, new) in changes.items())
        scheduled = changes.keys() - settings.keys() or any("initial_" in key for key in settings)
        every = [one for part in schedules.values() for one in part]
        if scheduled and any(getattr(one, "need_val_args", False) for one in every):
            runner.logger.info(
                f"resumed with the checkpoint's settings, not the config's, which are {said}: a "
                "schedule that goes by metrics cannot be computed anew"
            )
            return
        runner.logger.info(f"resumed with settings of the config, not the checkpoint's: {said}")
        for built, stored in groups:
            names = built.keys() - {"params"}
            if not scheduled:
                names &= settings.keys()
            stored.update({name: built[name] for name in names})
        if scheduled:
            checkpoint.pop("param_schedulers", None)
            self._steps = checkpoint["meta"]["epoch"], checkpoint["meta"]["iter"]

    def replay(self, runner: Runner) -> None:
        """Brings changed schedules to where the run is, step by step as in an unbroken run."""
        schedules = [
            one for part in _by_name(runner.param_schedulers or []).values() for one in part
        ]
        if self._steps:
            epochs, iterations = self._steps
            self._steps = None
            by_epoch = [one for one in schedules if one.by_epoch]
            by_iteration = [one for one in schedules if not one.by_epoch]
            length = len(runner.train_dataloader)
            with warnings.catch_warnings():  # The optimizer has made no step here.
                warnings.simplefilter("ignore")
                for iteration in range(1, iterations + 1):
                    _step(by_iteration)
                    if iteration % length == 0 and epochs:
                        _step(by_epoch)
                        epochs -= 1
                for _ in range(epochs):
                    _step(by_epoch)
            rates = cast(OptimWrapper, runner.optim_wrapper).get_lr()
            shown = {name: values[0] for name, values in rates.items()}
            runner.logger.info(
                "resumed: " + ", ".join(f"{name} goes on at {lr:.6g}" for name, lr in shown.items())
            )
        self._say_short(runner, [one for one in schedules if one.param_name == "lr"])

    @staticmethod
    def _say_short(runner: Runner, schedules: list[Any]) -> None:
        ends = [
            (one.end, runner.max_epochs if one.by_epoch else runner.max_iters, one.by_epoch)
            for one in schedules
        ]
        if ends and all(end < last for end, last, _ in ends):
            end, last, by_epoch = max(ends, key=lambda entry: entry[0] / entry[1])
            unit = "epoch" if by_epoch else "iteration"
            runner.logger.info(
                f"resumed: the learning rate's schedule ends at {unit} {end} of {last} and stays "
                "there: give param_scheduler another end (and T_max) to have it go on"
            )


def _step(schedules: list[Any]) -> None:
    for one in schedules:
        one.step()


def _by_name(parts: Any) -> dict[str, Any]:
    """Those of several optimizers by their names, of a single one without."""
    return dict(parts) if isinstance(parts, Mapping) else {"": parts}


def _groups(
    runner: Runner, checkpoint: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Parameter groups as the config builds them, each with the checkpoint's."""
    built_wrapper: Any = runner.optim_wrapper
    several = isinstance(built_wrapper, OptimWrapperDict)
    wrappers = dict(built_wrapper.items()) if several else {"": built_wrapper}
    states = checkpoint["optimizer"] if several else {"": checkpoint["optimizer"]}
    for name, wrapper in wrappers.items():
        state: Any = states.get(name) if isinstance(states, Mapping) else None
        saved: Any = state.get("param_groups") if isinstance(state, Mapping) else None
        built = wrapper.optimizer.param_groups
        kind = type(wrapper.optimizer).__name__
        if not _same_kind(built, saved):
            raise UserError(
                f"the checkpoint's optimizer is of another kind than the config's {kind}, or of "
                "other parameters (paramwise_cfg, frozen stages): resume with the config that it "
                "was trained with, or start from its weights with load_from and without resume"
            )
        yield from zip(built, saved, strict=True)
        base = state.get("base_param_settings")
        if wrapper.base_param_settings is not None and isinstance(base, dict):
            yield wrapper.base_param_settings, base


def _same_kind(built: list[dict[str, Any]], saved: Any) -> bool:
    def names(group: Mapping[str, Any]) -> set[str]:
        return {name for name in group if not name.startswith("initial_")}

    return (
        isinstance(saved, list)
        and len(built) == len(saved)
        and all(
            # Other versions of PyTorch may have more settings than the one that wrote it.
            isinstance(old, dict)
            and names(old) <= names(new)
            and len(old["params"]) == len(new["params"])
            for new, old in zip(built, saved, strict=True)
        )
    )


def _differences(groups: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, tuple[Any, Any]]:
    """Settings whose values differ: (checkpoint's, config's); of scheduled ones their initial."""
    found: dict[str, tuple[Any, Any]] = {}
    for built, saved in groups:
        for name, new in built.items():
            if name == "params" or f"initial_{name}" in built or f"initial_{name}" in saved:
                continue
            old = saved.get(name, saved.get(name.removeprefix("initial_"), new))
            if old != new:
                found.setdefault(name, (old, new))
    return found


def _schedule_differences(
    schedules: Mapping[str, list[Any]], saved: Mapping[str, list[Any]]
) -> dict[str, tuple[Any, Any]]:
    """Settings of schedules that differ: (checkpoint's, config's)."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, ours in schedules.items():
        theirs = saved.get(name, [])
        if len(ours) != len(theirs):
            found.setdefault("number of schedules", (len(theirs), len(ours)))
            continue
        for one, other in zip(ours, theirs, strict=True):
            state = {k: v for k, v in one.state_dict().items() if not callable(v)}
            for key in state.keys() - PROGRESS - {"base_values", "verbose"}:
                if key not in other or other[key] != state[key]:
                    found.setdefault(f"{type(one).__name__}.{key}", (other.get(key), state[key]))
    return dict(sorted(found.items()))
