"""Searches whose workers are killed and stopped and whose database is restarted."""

import json
import random
import re
import shutil
from collections import Counter
from pathlib import Path

import postgres
from files import damaged_files
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from processes import Round, Run, die_with_parent
from sqlalchemy.pool import NullPool

CONFIGS = Path(__file__).resolve().parent / "configs"
LONGEST = 1800.0
# Of the config: seconds after which a stopped worker's trials go to others.
GRACE = 4
# What a search prints once it is at work, and when it has evaluated all.
ANY, ALL = r"\d+ of \d+ architectures", r"(\d+) of \1 architectures"
# Starts that fail one after the other before a round is given up.
FAILURES = 3


class SQLiteSearches:
    """Rounds of searches with two workers that evaluate every architecture of a space.

    Args:
        folder: where they run.
        kills: of each round.
    """

    def __init__(self, folder: Path, kills: int) -> None:
        self._folder = folder

    def close(self) -> None:
        """There is nothing to end."""

    def round(self, number: int, rng: random.Random, kills: int) -> Round:
        """A search that is disturbed until ``kills`` processes were killed, then left alone."""
        wanted, done, failures = self._reference(), Round(), 0
        work_dir = self._folder / f"round_{number}"
        shutil.rmtree(work_dir, ignore_errors=True)
        storage = self._storage(number, work_dir)
        while failures < FAILURES:
            done.starts += 1
            run = self._start(work_dir, number)
            while done.kills < kills and self._wait(run, rng, last=done.kills == kills - 1):
                self._disturb(run, rng, done)
            if run.status is None and run.wait(LONGEST):
                done.fault("not_gone_on", f"it did not end in {LONGEST} s")
                run.kill_all()
                break
            killed = run.status is not None and run.status < 0
            if not killed:
                done.ended(run)
            # A helper of a killed search may be at work when the next one starts.
            if (not killed or rng.random() < 0.5) and run.left_behind(120):
                done.fault("not_gone_on", f"{work_dir}: helpers went on")
            _look_at_helpers(run, work_dir, done)
            if run.status == 0:
                break
            failures = 0 if killed else failures + 1
        compare(wanted, storage, self._study(number), work_dir, done)
        return done

    def _storage(self, number: int, work_dir: Path) -> str:
        return f"sqlite:///{work_dir / 'search.db'}"

    def _options(self, number: int) -> list[str]:
        return []

    def _restart(self, rng: random.Random, done: Round) -> bool:
        """Restarts the database; False where there is none to restart."""
        return False

    def _wait(self, run: Run, rng: random.Random, last: bool) -> bool:
        """Waits for a random moment; whether the run still goes on.

        Sometimes it is in the start, and the last one is where the report is written.
        """
        if last:
            return run.wait(LONGEST, lambda: _at_work(run, ALL)) and run.wait(rng.uniform(0, 2))
        if rng.random() < 0.15:
            return run.wait(rng.uniform(0, 3))
        longest = rng.choice([1.5, 12])  # The second worker comes when it has imported all.
        return run.wait(LONGEST, lambda: _at_work(run)) and run.wait(rng.uniform(0, longest))

    def _disturb(self, run: Run, rng: random.Random, done: Round) -> None:
        what, victim = rng.random(), rng.choice([run.pid, *run.helpers()])
        if what < 0.2 and _at_work(run) and self._restart(rng, done):
            return
        if what < 0.4:
            done.stop(run, victim, rng, 1.5 * GRACE)
            return
        if what < 0.55:
            run.kill_all()
        else:
            run.kill(victim if victim != run.pid else None)
        done.kills += 1

    def _start(self, work_dir: Path, number: int) -> Run:
        arguments = [CONFIGS / "search.py", self._folder / "supernet", "--work-dir", work_dir]
        arguments += ["--workers", 2, *self._options(number)]
        return Run("search.py", arguments, self._folder / f"{work_dir.name}.log")

    def _reference(self) -> dict[str, dict]:
        """Metrics by architecture of an undisturbed search, made where it is not there yet."""
        folder, file = self._folder / "reference", self._folder / "reference.json"
        if not file.exists():
            for name in ("supernet", "reference"):
                shutil.rmtree(self._folder / name, ignore_errors=True)
            train = [CONFIGS / "supernet.py", "--work-dir", self._folder / "supernet"]
            search = [CONFIGS / "search.py", self._folder / "supernet", "--work-dir", folder]
            for tool, arguments in (
                ("train.py", train),
                ("search.py", [*search, "--workers", 2]),
            ):
                run = Run(tool, arguments, self._folder / "reference.log")
                if run.wait(LONGEST) or run.status:
                    raise SystemExit(f"the unbroken run failed: {run.printed[-2000:]}")
            trials = _trials(f"sqlite:///{folder / 'search.db'}", "search")
            file.write_text(json.dumps({t.user_attrs["arch"]: _result(t) for t in trials}))
        return json.loads(file.read_text())

    def _study(self, number: int) -> str:
        return "search"


class PostgreSQLSearches(SQLiteSearches):
    """The same on a PostgreSQL server, which is restarted now and then."""

    def __init__(self, folder: Path, kills: int) -> None:
        super().__init__(folder, kills)
        if not postgres.BINARIES:
            raise SystemExit("PostgreSQL is not installed here: bash tools/install_debian.sh")
        self._server = postgres.Server(postgres.BINARIES[-1], die_with_parent)
        self._server.start()

    def close(self) -> None:
        """Ends the server."""
        self._server.remove()

    def _storage(self, number: int, work_dir: Path) -> str:
        return self._server.url

    def _study(self, number: int) -> str:
        return f"round_{number}"

    def _options(self, number: int) -> list[str]:
        return ["--storage", self._server.url, "--study-name", self._study(number)]

    def _restart(self, rng: random.Random, done: Round) -> bool:
        self._server.stop(rng.choice([postgres.FAST, postgres.IMMEDIATE]))
        self._server.start()
        done.restarts += 1
        return True


def compare(wanted: dict[str, dict], storage: str, study: str, work_dir: Path, done: Round) -> None:
    """Counts what a finished search has that the undisturbed one has not, and the reverse."""
    trials = _trials(storage, study)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    found = Counter(trial.user_attrs["arch"] for trial in complete)
    states = Counter(trial.state.name for trial in trials)
    lost = sorted(wanted.keys() - found.keys())
    done.fault("lost", f"{work_dir}: {lost}; {dict(states)}", len(lost))
    doubled = {arch: n for arch, n in found.items() if n > 1}
    done.fault("doubled", f"{work_dir}: {doubled}", sum(doubled.values()) - len(doubled))
    differing = [
        trial.number for trial in complete if _result(trial) != wanted[trial.user_attrs["arch"]]
    ]
    done.fault("differing", f"{work_dir}: trials {differing}", len(differing))
    damaged = damaged_files(work_dir)
    done.fault("half_written", "; ".join(damaged), len(damaged))
    report = work_dir / "best.json"
    if not report.exists():
        done.fault("lost", f"{report} is missing")
        return
    best = json.loads(report.read_text())["best"][0]
    if best["metrics"] != max(wanted.values(), key=lambda result: result["values"])["metrics"]:
        done.fault("differing", f"{report} begins with {best}")


def _at_work(run: Run, how_far: str = ANY) -> bool:
    return re.search(how_far, run.printed) is not None


def _look_at_helpers(run: Run, work_dir: Path, done: Round) -> None:
    """A helper that ended by itself with an error is a start that did not go on."""
    for log in sorted((work_dir / "workers").glob("worker_*.log")):
        text = log.read_text(errors="replace")
        found = re.findall(r"^error: .*|^Traceback .*", text, re.MULTILINE)
        if found:
            # Out of the next look's way, and there for who asks what it was.
            kept = log.rename(log.with_name(f"{log.name}.faulty_{done.starts}"))
            done.fault("not_gone_on", f"{kept}, a helper: {'; '.join(found)[:300]}")


def _trials(url: str, study: str) -> list:
    storage = RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    return storage.get_all_trials(storage.get_study_id_from_name(study))


def _result(trial) -> dict:
    return json.loads(json.dumps({"values": trial.values, "metrics": trial.user_attrs["metrics"]}))
