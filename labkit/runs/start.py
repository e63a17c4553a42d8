"""`start`, which every lab ends with: from a command line to a run that is finished, stopped, failed or refused.

A lab looks like this:

    # labs/NAME/config.py, which needs no torch: a mistake is found before a stack is installed
    @dataclass(frozen=True)
    class Config:
        epochs: int = option(8, "passes over the training set", at_least=1)

    PRESETS = {"smoke": {"epochs": 2}}

    # labs/NAME/lab.py
    def main(config: Config, run: Run) -> dict[str, float]:
        ...

    if __name__ == "__main__":
        start(main, Config, PRESETS)
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import shlex
import shutil
import signal
import sys
import time
import traceback
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Mapping, NoReturn, Sequence

from labkit.base import console, files, paths, settings, tomlfile, typed
from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.runs import contents, options, processes, records, resume
from labkit.runs.run import Helper, Run, Stopped

FIRST_WORD_S = 3.0


def start(
    main: Callable[[Any, Run], Mapping[str, float]],
    config_class: type,
    presets: options.Presets,
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Run a lab from its command line and leave the process.

    Exit status: 0 finished, 1 failed (a defect, or a smoke run that did not learn), 2 a mistake that the user can
    mend, 130 stopped with everything saved.
    """
    console.console.quiet = processes.rank() > 0
    try:
        with files.writing():  # a disk that refuses, wherever it does
            status = _run(main, config_class, presets, sys.argv[1:] if argv is None else argv)
    except UserError as error:
        _let_the_first_speak()
        warn(f"error: {error}")
        status = 2
    if status == 1:
        _let_the_first_speak()
    sys.exit(status)


def _let_the_first_speak() -> None:
    """In any other of several processes: wait with a failure, since the launcher ends all when one is gone.

    The first process mostly fails in the same way, writes that down and says it. Who still lives then says its own.
    """
    if processes.rank() > 0:
        time.sleep(FIRST_WORD_S)
        console.console.quiet = False


def _run(main: Any, config_class: type, presets: options.Presets, argv: Sequence[str]) -> int:
    module = sys.modules[main.__module__]
    lab_file = Path(str(module.__file__)).resolve()
    lab = lab_file.parent.name
    request = options.parse(argv, config_class, presets, lab, (module.__doc__ or "").strip().split("\n\n")[0])
    manifest_path = lab_file.with_name("lab.toml")
    manifest = tomlfile.load(manifest_path) if manifest_path.exists() else {}
    if request.hint or request.solution:
        return _tell(request, lab)
    if processes.count() > 1 and (request.practice or not manifest.get("distributed")):
        raise UserError(f"the lab {lab} trains in one process only", f"./inv lab {lab}")
    processes.join()
    if processes.rank() > 0:
        run, config = _follow(config_class)
    elif request.resume:
        folder, facts, config = resume.find(request, config_class, lab)
        with files.writing(folder):
            run = Run(folder, facts, request.save_every_s)
            for source in lab_file.parent.glob("*.py"):
                copy = run.folder / "code" / source.name
                if not copy.exists() or copy.read_bytes() != source.read_bytes():
                    text = f"{source.name} changed while this run was stopped; the run folder keeps the first version."
                    warn(text)
                    run.note(text)
    else:
        config = options.build(config_class, presets, request)
        run = _open(request, config, lab_file.parent, manifest)

    try:
        with files.writing(run.folder):
            if processes.rank() == 0:
                processes.share(json.dumps(run.facts).encode())
            status = _train(_work(lab) if run.facts.get("practice") else main, config, run, manifest)
            if status in (0, 130):
                processes.leave()
            return status
    except UserError:
        if run.is_empty() and processes.rank() == 0:
            shutil.rmtree(run.folder)
        raise
    finally:
        run.close()
        if run.folder.exists():
            say(f"report: {paths.shown(run.folder / 'report.html')}")


def _train(main: Any, config: Any, run: Run, manifest: Mapping[str, Any]) -> int:
    """Run `main` and write down how it ended; the exit status."""
    handled = {number: signal.signal(number, run.ask_stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # a Ctrl-C of before waited for this
    try:
        run.begin(exact=manifest.get("exact_on_gpu", True))
        metrics = main(config, run)
        failure = _smoke_failure(manifest.get("smoke", {}), metrics) if run.smoke else ""
        if failure:
            run.record("failed", metrics, error=failure)
            warn(failure)
            return 1
        run.record("finished", metrics)
        shown = {name: value if type(value) is int else float(value) for name, value in metrics.items()}
        say("result: " + "  ".join(f"{name} {records.number(value)}" for name, value in shown.items()))
        return 0
    except (Stopped, KeyboardInterrupt) as stop:
        run.record("stopped")
        say("stopped, with everything saved" if isinstance(stop, Stopped) else "stopped at once")
        say(f"  continue: {records.resume_command(run.lab, run.folder.name)}")
        return 130
    except UserError as error:
        run.record("failed", error=error.text)
        raise
    except Exception as error:
        with contextlib.suppress(OSError):  # a full disk may be what failed
            run.record("failed", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
        if isinstance(error, OSError) and error.errno in files.REFUSALS:
            raise
        traceback.print_exc()
        return 1
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)


def _work(lab: str) -> Callable[[Any, Run], Mapping[str, float]]:
    """What stands in for a lab's `main` where its exercises are asked for."""
    from labkit.runs.practice import work

    exercises = importlib.import_module(f"labs.{lab}.practice")
    return lambda _, run: work.work(exercises.SETUP, exercises.SHEET, run)


def _tell(request: options.Request, lab: str) -> int:
    from labkit.runs.practice import work

    exercises = importlib.import_module(f"labs.{lab}.practice")
    what = "hint" if request.hint else "solution"
    work.tell(exercises.SHEET, request.hint or request.solution, what, exercises.SETUP, lab)
    return 0


def _open(request: options.Request, config: Any, source: Path, manifest: Mapping[str, Any]) -> Run:
    """A new run of the lab in `source`, in a new folder named by the time, even when two start in one second."""
    now, lab = datetime.now(timezone.utc), source.name
    name = now.strftime("%Y%m%d-%H%M%S")
    parent = paths.runs_dir() / lab
    with files.writing(parent, "./inv config set runs /a/folder/of/yours"):
        parent.mkdir(parents=True, exist_ok=True)
        number = 1
        folder = parent / name
        while not _make(folder):
            number += 1
            folder = parent / f"{name}-{number}"
    facts = {
        "lab": lab,
        "title": manifest.get("title", lab),
        "title_zh": manifest.get("title_zh", ""),
        "started": now.strftime("%Y-%m-%d %H:%M:%S"),
        "preset": request.preset,
        "smoke": request.smoke,
        "sample": request.sample,
        "seed": request.seed or 0,
        "options": dataclasses.asdict(config),
        "practice": request.practice,
    }
    with files.writing(folder, "./inv config set runs /a/folder/of/yours"):
        try:
            typed.write(folder / "config.json", contents.Config(**facts, command=_command(facts, request)))
            for program in source.glob("*.py"):
                shutil.copy(str(program), str(files.made(folder / "code")))
        except OSError:  # a run that never began is none
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return Run(folder, facts, request.save_every_s)


def _follow(config_class: type) -> tuple[Run, Any]:
    """The run that the first process opened, as another one takes part in it."""
    try:
        facts = json.loads(processes.share(b""))
    except RuntimeError:  # the connection was closed
        raise UserError("the first process could not start; its message says why") from None
    return Helper(facts), options.from_record(config_class, facts["options"])


def _make(folder: Path) -> bool:
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _command(facts: Mapping[str, Any], request: options.Request) -> str:
    """What to type to repeat the run."""
    stack = settings.current().stack
    words = ["./inv", "lab", facts["lab"], *([f"--stack={stack}"] if stack else [])]
    words += settings.current().launch.split()  # --gpus and --nodes
    if request.practice:
        words[1] = "practice"
        words += ["--notebook"] if settings.current().jupyter else []
    words += ["--smoke"] if request.smoke else ["--sample"] if request.sample else []
    own = options.words(
        dataclasses.replace(
            request,
            preset="" if request.smoke else request.preset,
            smoke=False,
            sample=False,
            practice=False,
            seed=request.seed or None,
            save_every_s=options.SAVE_EVERY_S,
        )
    )
    return " ".join(shlex.quote(word) for word in [*words, *(["--", *own] if own else [])])


def _smoke_failure(smoke: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Why the smoke run did not learn, by the check in lab.toml and those under `also`; empty where it did."""
    for check in [smoke, *smoke.get("also", ())] if smoke else []:
        name = check["metric"]
        value = float(metrics[name])
        if "min" in check and not value >= check["min"]:
            return f"the smoke run did not learn: {name} {value:.4g} < {check['min']}"
        if "max" in check and not value <= check["max"]:
            return f"the smoke run did not learn: {name} {value:.4g} > {check['max']}"
    return ""
