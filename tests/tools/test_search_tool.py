"""tools/search.py as a user runs it."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import CONFIGS, NAMES, REPOSITORY, free_port, save_model
from waiting import wait_for


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    save_model("small_linear.py", folder / "linear.pth")
    save_model("small_supernet.py", folder / "supernet.pth")
    return folder


@pytest.fixture
def search(tool, checkpoints):
    """Runs a search of the small probe: (exit status, output, errors)."""

    def run(work_dir, *arguments, config="small_search.py", checkpoint="linear.pth"):
        return tool(
            "search.py",
            CONFIGS / config,
            checkpoints / checkpoint,
            "--work-dir",
            work_dir,
            *arguments,
            "--cfg-options",
            f"experiment_name={next(NAMES)}",
        )

    return run


def best(work_dir) -> list[dict]:
    return json.loads((work_dir / "best.json").read_text())["best"]


def test_search_writes_what_it_found(search, tmp_path):
    status, out, err = search(tmp_path / "work")
    assert status == 0, err
    work = tmp_path / "work"
    winner = best(work)[0]
    assert winner["arch"] == (work / "best.txt").read_text().strip()
    assert winner["arch"] in out
    assert winner["metrics"]["accuracy/top1"] == max(
        row["metrics"]["accuracy/top1"] for row in best(work)
    )
    assert {"params", "macs"} <= set(winner["costs"])
    assert "<html" in (work / "search.html").read_text()
    assert "12 of 12 architectures" in out + err
    assert list(work.glob("*/vis_data/events.out.tfevents*"))
    # The terminal gets what the user can act on, the log file all.
    (log,) = work.glob("*/*.log")
    for words in ("Config:", "Hooks will be executed", "System environment"):
        assert words in log.read_text()
        assert words not in out + err
    assert str(log) in out
    assert len((out + err).splitlines()) < 60
    content = json.loads((work / "best.json").read_text())
    assert content["checkpoint"].endswith("/linear.pth")
    assert Path(content["checkpoint"]).is_absolute()
    assert content["checkpoint_sha256"]


def test_same_seed_same_results_and_rerun_writes_them_again(search, tmp_path):
    assert search(tmp_path / "one")[0] == 0
    assert search(tmp_path / "two")[0] == 0
    assert best(tmp_path / "one") == best(tmp_path / "two")
    before = (tmp_path / "one" / "search.db").read_bytes()
    page = (tmp_path / "one" / "search.html").read_text()
    for name in ("search.html", "best.txt", "best.json"):
        (tmp_path / "one" / name).unlink()
    assert search(tmp_path / "one")[0] == 0
    assert (tmp_path / "one" / "search.html").read_text() == page
    assert best(tmp_path / "one") == best(tmp_path / "two")
    assert (tmp_path / "one" / "search.db").read_bytes() == before


def test_more_trials_go_on_where_the_record_ends(search, tmp_path):
    assert search(tmp_path / "whole", "--trials", "16")[0] == 0
    assert search(tmp_path / "parts", "--trials", "8")[0] == 0
    assert search(tmp_path / "parts", "--trials", "16")[0] == 0
    assert best(tmp_path / "parts") == best(tmp_path / "whole")


def test_label_free_front_under_a_budget(search, tmp_path):
    status, _, err = search(
        tmp_path,
        "--objectives",
        "cross_path/score",
        "params",
        "--constraints",
        "params<=15k",
        config="small_search_label_free.py",
        checkpoint="supernet.pth",
    )
    assert status == 0, err
    assert all(row["costs"]["params"] <= 15_000 for row in best(tmp_path))


def test_latency_budget_and_objective(search, tmp_path):
    quick = ("search.latency.repeats=2", "search.latency.num_threads=1")
    arguments = ("--trials", "4", "--objectives", "accuracy/top1", "latency")
    arguments += ("--constraints", "latency<=10s", "--cfg-options", *quick)
    status, _, err = search(tmp_path, *arguments)
    assert status == 0, err
    assert all(0 < row["costs"]["latency"] < 10 for row in best(tmp_path))
    status, _, err = search(tmp_path, *arguments, "search.latency.batch_size=2")
    assert status == 2
    assert "latency.batch_size was 1 and is now 2" in err


def test_pruning_ends_hopeless_architectures_early(search, tmp_path):
    status, _, err = search(
        tmp_path,
        "--trials",
        "24",
        "--cfg-options",
        "search.pruner.type=PercentilePruner",
        "search.pruner.percentile=25.0",
        "search.pruner.n_startup_trials=2",
        "search.dataloader.batch_size=2",
        config="small_search_label_free.py",
        checkpoint="supernet.pth",
    )
    assert status == 0, err
    trials = json.loads((tmp_path / "best.json").read_text())["trials"]
    assert trials["pruned"] > 0
    assert trials["pruned"] + trials["complete"] == 24


NOTING = """
import os
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

@TRANSFORMS.register_module()
class Noting(BaseTransform):
    def transform(self, results):
        with open(os.environ["NOTED"], "a") as file:
            print(os.getpid(), file=file)
        return results
"""


def test_two_workers_as_processes_read_images_once(run_process, checkpoints, tmp_path, monkeypatch):
    (tmp_path / "noting.py").write_text(NOTING)
    noted, config = tmp_path / "noted", tmp_path / "search.py"
    steps = "[dict(type='pinas_mm.LoadImage'), dict(type='Noting'), dict(type='PackInputs')]"
    config.write_text(
        f"_base_ = ['{CONFIGS}/small_search.py']\n"
        "custom_imports = dict(imports=['pinas_mm', 'noting'])\n"
        f"train_dataloader = dict(dataset=dict(pipeline={steps}))\n"
        f"val_dataloader = dict(dataset=dict(pipeline={steps}))\n"
    )
    monkeypatch.setenv("NOTED", str(noted))
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    command = (
        *("tools/search.py", config, checkpoints / "linear.pth"),
        *("--work-dir", tmp_path, "--workers", "2", "--trials", "40"),
    )
    done = run_process(*command)
    assert done.returncode == 0, done.stderr
    assert "Load checkpoint" in (tmp_path / "workers" / "worker_1.log").read_text()
    assert states(tmp_path) == {"COMPLETE": 40}
    # The validation's images, each by one process.
    read = noted.read_text().split()
    assert read == read[:1] * 8


def states(work_dir) -> dict[str, int]:
    """Numbers of trials by state; none before there are tables."""
    with sqlite3.connect(work_dir / "search.db", timeout=60) as database:
        try:
            rows = database.execute("SELECT state, count(*) FROM trials GROUP BY state")
        except sqlite3.OperationalError:
            return {}
        return dict(rows.fetchall())


SLOW = """
import time
from pinas_mm.registry import SCORES
from pinas_mm.search.evaluation.scores import ProbeScore

@SCORES.register_module()
class SlowScore(ProbeScore):
    def update(self, *args):
        time.sleep(0.5)
        super().update(*args)
"""


@pytest.fixture
def slow(digits, checkpoints, tmp_path):
    """Starts a search in ``work`` that takes a minute, as a process."""
    (tmp_path / "slow_score.py").write_text(SLOW)
    config = tmp_path / "slow.py"
    imports = "custom_imports = dict(imports=['pinas_mm', 'slow_score'])"
    score = "search = dict(score=dict(type='SlowScore'), trials=64)"
    config.write_text(f"_base_ = ['{CONFIGS}/small_search.py']\n{imports}\n{score}\n")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PINAS_DATA": str(digits), "PYTHONPATH": os.pathsep.join(paths)}
    started = []

    def start(*options):
        command = [sys.executable, REPOSITORY / "tools/search.py", config]
        command += [checkpoints / "linear.pth", "--work-dir", tmp_path / "work", *options]
        process = subprocess.Popen(
            list(map(str, command)),
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_interrupted_it_says_what_is_kept_and_puts_back_what_is_in_work(slow, tmp_path):
    work, process = tmp_path / "work", slow()
    wait_for(lambda: (work / "search.db").exists() and "RUNNING" in states(work))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert f"interrupted: what is finished is in {work}; the same command goes on" in err
    assert "Traceback" not in err
    assert "WAITING" in states(work)
    assert "RUNNING" not in states(work)


def test_workers_stop_where_the_search_is_killed(slow, tmp_path):
    process, log = slow("--workers", "2"), tmp_path / "work" / "workers" / "worker_1.log"
    wait_for(lambda: log.exists() and "Load checkpoint" in log.read_text())
    process.kill()
    process.wait()
    wait_for(lambda: "told to stop" in log.read_text())
    assert "the process that started this one is gone" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_ranks_take_different_architectures(run_process, search, checkpoints, tmp_path):
    # Of three at a time one rank gets two and the other one, of the last one alone nothing.
    options = ("--trials", "7", "--cfg-options", "search.batch=3")
    command = (
        *("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port", free_port()),
        *("tools/search.py", CONFIGS / "small_search.py", checkpoints / "linear.pth"),
        *("--work-dir", tmp_path / "ranks", "--launcher", "pytorch", *options),
    )
    done = run_process(*command)
    assert done.returncode == 0, done.stderr
    assert search(tmp_path / "alone", *options)[0] == 0
    assert best(tmp_path / "ranks") == best(tmp_path / "alone")
    assert len(best(tmp_path / "ranks")) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sampler", "Nope"), "Nope.*LaNASSampler.*TPESampler"),
        (("--objectives", "accuracy/top7"), "accuracy/top7.*accuracy/top1.*macs"),
        (("--objectives", "macs"), "costs alone"),
        (("--constraints", "macs<=1"), "macs is .* to "),
        (("--constraints", "macs<=1M", "macs>=2M"), "macs"),
        (("--constraints", "cats<=1"), "cats.*params"),
        (
            ("--constraints", "latency<=1us", "--cfg-options", "search.latency.num_threads=1"),
            "latency is .* to .* in this space",
        ),
        (("--workers", "2", "--launcher", "pytorch"), "--workers 2 with --launcher pytorch"),
        (("--cfg-options", "search.pruner=Nope"), "pruner Nope is unknown.*MedianPruner"),
        (("--storage", "postgresql://nobody@127.0.0.1:9/none"), "cannot be reached"),
        (("--trials", "0"), "search.trials is 0"),
    ],
)
def test_bad_input_is_one_line(search, tmp_path, arguments, message):
    status, _, err = search(tmp_path / "work", *arguments)
    assert status == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(message, last), last
    assert not (tmp_path / "work" / "best.json").exists()


def test_work_dir_that_cannot_be_written(search, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = search(tmp_path / "file" / "work")
    assert status == 2
    assert "cannot be written" in err


def test_record_of_another_checkpoint_is_refused(search, tmp_path, checkpoints):
    assert search(tmp_path / "work", "--trials", "4")[0] == 0
    content = torch.load(checkpoints / "linear.pth")
    content["state_dict"]["head.fc.bias"] += 1
    torch.save(content, checkpoints / "other.pth")
    status, _, err = search(tmp_path / "work", checkpoint="other.pth")
    assert status == 2
    assert "checkpoint was" in err
    assert best(tmp_path / "work")


def test_config_without_search(tool, checkpoints, tmp_path):
    status, _, err = tool(
        "search.py",
        CONFIGS / "small_linear.py",
        checkpoints / "linear.pth",
        "--work-dir",
        tmp_path,
        "--trials",
        "4",
    )
    assert status == 2
    assert "configs/pinas_search.py" in err


def test_more_trials_than_architectures(search, tmp_path):
    constraint = ("--constraints", "params<=15k", "--trials", "100")
    status, out, err = search(tmp_path, *constraint)
    assert status == 0, err
    number = len(best(tmp_path))
    assert 0 < number < 10
    assert f"{number} of 100: there are no more within the budget" in out


@pytest.mark.parametrize("config", ["small_search.py", "small_search_label_free.py"])
def test_without_training_and_without_training_images(tool, tmp_path, config):
    missing = "search.calibration_dataloader.dataset.data_root=/none"
    options = "search.score=SynFlowScore", missing
    shared = CONFIGS / config, "untrained", "--work-dir", tmp_path

    def run(*arguments):
        name = f"experiment_name={next(NAMES)}"
        given = "--objectives", "zero_cost/synflow", *arguments, "--cfg-options", *options, name
        return tool("search.py", *shared, *given)

    status, out, err = run("--trials", "4")
    assert status == 0, err
    assert "init_weights" not in out + err
    # The same command goes on with the same weights, in any process; another seed has others.
    assert run("--trials", "6")[0] == 0
    rows = best(tmp_path)
    assert len({row["metrics"]["zero_cost/synflow"] for row in rows}) == 6
    assert json.loads((tmp_path / "best.json").read_text())["checkpoint"] == "untrained"
    assert "tools/export.py" not in (tmp_path / "search.html").read_text()
    status, _, err = run("--seed", "1")
    assert status == 2
    assert "checkpoint was" in err


def test_images_of_another_data_set_are_refused(search, tmp_path):
    assert search(tmp_path, "--trials", "4")[0] == 0
    status, _, err = search(tmp_path, "--cfg-options", "search.dataloader.dataset.split=train")
    assert status == 2
    assert "dataloader.dataset.split was val and is now train" in err
