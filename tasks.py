"""The front door: `./inv --list` shows the tasks, `./inv TASK --help` explains one. The work is in labkit/cli/."""

import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Callable, Sequence

ROOT = Path(__file__).resolve().parent

# Started by an invoke of the user's own: ./inv takes over, with the pinned one (made first if missing).
if Path(sys.argv[0]).name in ("invoke", "inv"):
    called = {**os.environ, "LAB_COMMAND": Path(sys.argv[0]).name}  # what messages call it
    os.execve("/bin/sh", ["sh", str(ROOT / "inv"), *sys.argv[1:]], called)

from invoke import Collection, Context, Exit, Task  # noqa: E402

# What an option means, for every task that has it; a task names only what is its own.
SHARED = {
    "stack": "cpu, cu130, cu126, cu118 or notes, or NAME/BUILD; default: what `./inv doctor` chooses",
    "where": "auto (default), here (inside our image), docker or venv (a native environment)",
    "dry": "print the exact command instead of running it",
    "resume": "resume a stopped run: its name (`./inv runs`) or latest",
    "output": "write this file; default: print",
    # detectron2
    "config": "tiny (default), tiny_panoptic, tiny_semantic, or one of the model zoo, such as mask_rcnn_R_50_FPN_3x",
    "dataset": "coco for COCO itself (./inv data coco); default: its synthetic sample",
    "weights": "a run (`./inv runs`), a file, or one of the model zoo; default: trained last with this config",
    # services
    "port": "a port other than the usual one",
    "stop": "stop it",
    "status": "say whether it runs, and where",
}


def command(called: str = "", several: Sequence[str] = (), **help: str) -> Callable[[Callable[..., None]], Task]:
    """Make a task of a function, which has its name unless it is `called` otherwise.

    `help` says what its own options mean; those in `several` may be given more than once.
    """

    def decorate(function: Callable[..., None]) -> Task:
        options = list(inspect.signature(function).parameters)[1:]  # all but the context
        known = {**SHARED, **help}
        return Task(function, name=called or None, iterable=several, help={k: known[k] for k in options if k in known})

    return decorate


def call(function: str, c: Context, **options: object) -> None:
    """Run labkit.cli.FUNCTION ("labs.lab"); a mistake of the user ends with one sentence and exit status 2."""
    from labkit.base.errors import UserError

    if "dry" in options:
        options["dry"] = options["dry"] or c.config.run.dry  # invoke has a --dry of its own, before the task
    module, _, name = function.partition(".")
    try:
        # Imported here, and only the one module: `./inv --list` should not wait for all of labkit.
        status = getattr(importlib.import_module(f"labkit.cli.{module}"), name)(**options)
    except UserError as error:
        raise Exit(str(error), code=2) from None
    except KeyboardInterrupt:
        raise Exit("stopped", code=130) from None
    if status:
        sys.exit(status)


@command(mirror="cn: everything from mirrors in mainland China; `./inv config set mirror cn` keeps it so")
def setup(c: Context, stack: str = "", where: str = "", mirror: str = "", dry: bool = False) -> None:
    """Choose the stack for this machine, install it and try it.

    Safe to repeat: what is there already is kept, what was interrupted is finished.

      ./inv setup                  the stack that fits this machine
      ./inv setup --stack notes    Python 3.8 and PyTorch 1.5.0, as in the course notes
    """
    call("stacks.setup", **locals())


@command(
    action="show (default), set or unset", name="which setting; default: all", value="with set: the new value"
)
def config(c: Context, action: str = "show", name: str = "", value: str = "") -> None:
    """Show the settings, or keep one for later commands (in settings.toml).

    ./inv config                     all settings, and where each comes from
    ./inv config set mirror cn       packages, Python, images' contents and data sets from mainland China
    ./inv config set data ~/data     another folder for the data sets
    ./inv config unset mirror

    LAB_MIRROR=cn before a command is for that command only (not for base_image and detectron2, which are kept).
    """
    call("config.config", **locals())


@command(json="print the findings as one JSON object, for example for a bug report; passwords are left out")
def doctor(c: Context, stack: str = "", json: bool = False) -> None:
    """Say what works on this machine, what does not, and what to type."""
    call("stacks.doctor", **locals())


@command(
    format="pip (requirements.txt, the default), conda (environment.yml) or pylock (pylock.toml)",
    mirror="cn: take everything from mirrors in China",
)
def export(c: Context, format: str = "pip", stack: str = "", mirror: str = "", output: str = "") -> None:
    """Write a stack as a file for conda, pip or uv.

    ./inv export --format conda --stack notes --output environment.yml
    ./inv export --format pip --mirror cn > requirements.txt
    """
    call("stacks.export", **locals())


@command()
def devcontainer(c: Context, stack: str = "") -> None:
    """Prepare the image that VS Code's devcontainer uses.

    VS Code calls this by itself before it opens the folder in the container.
    """
    call("stacks.devcontainer", **locals())


@command()
def build(c: Context, stack: str = "") -> None:
    """Build the image of a stack, if it is not there already."""
    call("stacks.image_build", **locals())


@command()
def inside(c: Context, stack: str = "") -> None:
    """Test an image from the inside: versions, packages, user, OpenCV."""
    call("stacks.image_test", **locals())


@command(output="file to write; default: standard output")
def sbom(c: Context, stack: str = "", output: str = "") -> None:
    """List everything inside an image, as CycloneDX JSON."""
    call("stacks.image_sbom", **locals())


@command(
    advisories="file or folder: OSV's entries (https://osv.dev), also in a zip, or `pip-audit --format json` wrote it",
    json="print the findings as one JSON object",
)
def audit(c: Context, stack: str = "", advisories: str = "", json: bool = False) -> None:
    """List the known vulnerabilities of the versions that a stack pins; no network is needed.

    Exit status: 0 without any, 1 with some, 2 where there is nothing to compare with.

      ./inv image.audit --stack notes --advisories PyPI/all.zip
    """
    call("stacks.image_audit", **locals())


@command()
def prune(c: Context) -> None:
    """Remove the images that are older than their stack."""
    call("stacks.image_prune", **locals())


@command()
def labs(c: Context) -> None:
    """List the labs in the order of the course."""
    call("labs.labs_table", **locals())


@command(
    name="which lab; `./inv labs` lists them",
    smoke="a short proof on the built-in sample that everything works and learns",
    sample="train on the built-in sample data instead of the real data set",
    gpus="train on N GPUs of this machine together; without a GPU: in N processes",
    nodes="train on several machines together: their addresses, separated by commas, the same on each machine",
)
def lab(
    c: Context,
    name: str,
    smoke: bool = False,
    sample: bool = False,
    resume: str = "",
    gpus: str = "",
    nodes: str = "",
    stack: str = "",
    where: str = "",
    dry: bool = False,
) -> None:
    """Train a lab: prepares stack and data, ends in a report.

    The lab's own options come after `--`:

      ./inv lab cifar10                                      the default recipe
      ./inv lab cifar10 --smoke                              a quick proof, no network needed
      ./inv lab cifar10 -- --model resnet18 --epochs 20      another model
      ./inv lab cifar10 -- --help                            all options of the lab
      ./inv lab cifar10 --resume=latest                      continue after Ctrl-C or a power cut
      ./inv lab cifar10 --gpus 4                             four GPUs share every batch
      ./inv lab cifar10 --gpus 4 --nodes=10.0.0.1,10.0.0.2   two machines; type the same on both
    """
    call("labs.lab", **locals())


@command()
def course(c: Context) -> None:
    """Open the course: its units with their guides, what you did in each, and what comes next."""
    call("runs.course_page", **locals())


@command(
    name="the practice of which lab",
    hint="print a hint for an exercise",
    solution="print the solution of an exercise",
)
def practice(c: Context, name: str, hint: str = "", solution: str = "", notebook: bool = False, resume: str = "",
             stack: str = "", where: str = "", dry: bool = False) -> None:  # fmt: skip
    """Exercises that check themselves: a sheet of your own, looked at each time you save it.

    ./inv practice tensors                      a new sheet, answers.py; Ctrl-C ends, and nothing is lost
    ./inv practice tensors --notebook           the same sheet as a notebook
    ./inv practice tensors --resume=latest      go on with it
    ./inv practice tensors --hint rounding
    """
    call("labs.practice", **locals())


@command(
    input="images, separated by commas; a folder; a video; or webcam. Default: images of the sample",
    threshold="draw objects with at least this score (default: 0.5)",
)
def demo(c: Context, input: str = "", config: str = "", weights: str = "", threshold: str = "",
         stack: str = "", where: str = "", dry: bool = False) -> None:  # fmt: skip
    """Draw what detectron2 finds in images of yours.

    ./inv detectron2.demo --input photo.jpg                                     by what you trained last
    ./inv detectron2.demo --input photo.jpg --config mask_rcnn_R_50_FPN_3x      by the model zoo's Mask R-CNN
    """
    call("labs.detectron2", task="demo", **locals())


@command()
def train(c: Context, config: str = "", dataset: str = "", resume: str = "",
          stack: str = "", where: str = "", dry: bool = False) -> None:  # fmt: skip
    """Train a detectron2 config; KEY VALUE pairs after `--` change its settings.

    ./inv detectron2.train
    ./inv detectron2.train --config mask_rcnn_R_50_FPN_1x --dataset coco -- SOLVER.MAX_ITER 9000
    """
    call("labs.detectron2", task="train", **locals())


@command(called="eval")
def evaluate(c: Context, config: str = "", weights: str = "", dataset: str = "",
             stack: str = "", where: str = "", dry: bool = False) -> None:  # fmt: skip
    """Judge trained weights: AP, PQ, IoU, best and worst images."""
    call("labs.detectron2", task="eval", **locals())


@command(python="the environment's interpreter, such as ENV/bin/python")
def install(c: Context, python: str, stack: str = "") -> None:
    """Install the stack's detectron2 into an environment of your own, such as one made from `./inv export`.

    ./inv detectron2.install --stack notes --python ENV/bin/python
    """
    call("stacks.detectron2_install", **locals())


@command(
    public="accept connections from other machines too; they need the password that is printed",
    replay="rebuild the windows of a run (`./inv runs`) from what it logged",
)
def visdom(c: Context, port: str = "", stop: bool = False, status: bool = False, public: bool = False,
           replay: str = "", stack: str = "", where: str = "") -> None:  # fmt: skip
    """Watch training live: visdom's server.

    Labs draw their curves there while they run. What is drawn survives --stop and a restart.

      ./inv visdom                     start it, or find it
      ./inv visdom --replay=latest     the windows of a finished run
    """
    call("services.service", name="visdom", **locals())


@command()
def tensorboard(c: Context, port: str = "", stop: bool = False, status: bool = False,
                stack: str = "", where: str = "") -> None:  # fmt: skip
    """Compare runs, live and finished: TensorBoard."""
    call("services.service", name="tensorboard", **locals())


@command(lab="a lab in steps, to be opened as a notebook")
def notebook(c: Context, lab: str = "", port: str = "", stop: bool = False, status: bool = False,
             stack: str = "", where: str = "") -> None:  # fmt: skip
    """Write notebooks on a stack: JupyterLab. The address that is printed holds the token that opens it.

    ./inv notebook             JupyterLab
    ./inv notebook tensors     a lab in steps, as a notebook of yours: notebooks/tensors.ipynb
    """
    call("services.service", name="notebook", **locals())


@command()
def shell(c: Context, stack: str = "", where: str = "", dry: bool = False) -> None:
    """Open a shell in which `python` is a stack's own."""
    call("labs.shell", **locals())


@command()
def datasets(c: Context) -> None:
    """List the data sets: what is here, how large, which licence."""
    call("data.datasets_table", **locals())


@command(
    name="which data set; `./inv datasets` lists them",
    split="only these parts, such as val2017 (coco) or monet2photo (cyclegan); several separated by commas",
    subset="download only N images, one by one (coco)",
    categories="with --subset: images that show any of these, such as person,dog",
    mirror="ask this one first: cn (hosts in mainland China), part of a host's name, or the address of a folder",
    urls="print what a download would ask for: addresses, sizes, hashes",
    path="print where the data set lies, and nothing else",
    verify="read every file again and compare it with the published hashes",
    import_="take this archive or folder instead of downloading",
    unverified="with --import: accept bytes that are not the published ones; every report will say so",
    delete="remove the data set from this machine",
    yes="with --delete: do not ask",
)
def data(
    c: Context, name: str, split: str = "", subset: str = "", categories: str = "", mirror: str = "",
    urls: bool = False, path: bool = False, verify: bool = False, import_: str = "", unverified: bool = False,
    delete: bool = False, yes: bool = False,
) -> None:  # fmt: skip
    """Download a data set; or import, verify or delete it.

    ./inv data cifar10                                     download (continues an interrupted one)
    ./inv data cifar10 --urls                              the addresses, to download it in another way
    ./inv data cifar10 --import=~/cifar-10-python.tar.gz   copied over manually
    ./inv data coco --subset 200 --categories person,dog   a few images with their annotations
    ./inv data cifar10 --mirror cn                         ask hosts in mainland China first
    ./inv data cifar10 --mirror http://server/data/        ask one mirror of yours first
    """
    call("data.data", **locals())


@command(
    action="create or use",
    file="the bundle, one .tar file",
    stacks="with create: these stacks, such as cpu,notes",
    data="with create: these data sets, which must be here already",
)
def bundle(c: Context, action: str, file: str, stacks: str = "", data: str = "") -> None:
    """Put stacks and data sets into one file, or take them out of it, for a machine without a network.

    ./inv bundle create class.tar --stacks cpu --data cifar10,mnist
    ./inv bundle use class.tar

    Every byte is compared with the hashes in the bundle. Without any network, ./inv itself is made from it as well:
    tar xf class.tar wheels; PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels ./inv bundle use class.tar
    """
    call("data.bundle", **locals())


@command()
def runs(c: Context) -> None:
    """List the runs, the newest first; a name holds the time (UTC)."""
    call("runs.runs_table", **locals())


@command(several=["run"], run="name of a run (`./inv runs`); default: the newest")
def report(c: Context, run: list) -> None:
    """Open the report of a run, or a comparison of several.

    ./inv report                                     the newest run
    ./inv report 20261123-171500 20261123-180000     side by side: curves, results, what was different
    """
    call("runs.report", **locals())


@command(
    stack="only the tests inside this stack (cpu or notes)",
    only="only one part: unit, faults, containers, stack, browser, or expect, which is in no other run",
    require="what must not be missing, such as notes,docker,browser; by default what cannot run here is skipped",
    labs="with --only expect: the labs whose promises are tried, such as mnist,metric; default: all",
)
def test(c: Context, stack: str = "", only: str = "", require: str = "", labs: str = "") -> None:
    """Run all tests: the tools, and every lab on both stack families.

    What follows `--` goes to pytest:

      ./inv test                                  every part; what is slow in one stack alone
      ./inv test --only unit                      the tools' own tests; a part that is named runs all that it has
      ./inv test --stack notes -- -k resume -x    what has "resume" in its name, in one stack, to the first failure
      ./inv test --only expect --labs mnist       train what a lab promises in [[expect]] of its lab.toml, and compare
    """
    call("upkeep.test", **locals())


@command()
def lint(c: Context) -> None:
    """Check style, types and imports (ruff, mypy, import-linter, hadolint)."""
    call("upkeep.lint", **locals())


@command(dry="only say what would be removed")
def clean(c: Context, dry: bool = False) -> None:
    """Remove environments, samples and caches; keep data and runs."""
    call("upkeep.clean", **locals())


image = Collection("image")
for name, member in {"build": build, "test": inside, "sbom": sbom, "audit": audit, "prune": prune}.items():
    image.add_task(member, name=name)

detectron2 = Collection("detectron2")
for member in (demo, train, evaluate, install):
    detectron2.add_task(member)

namespace = Collection(
    bundle, clean, config, course, data, datasets, devcontainer, doctor, export, lab, labs, lint, notebook, practice,
    report, runs, setup, shell, tensorboard, test, visdom, image, detectron2,
)  # fmt: skip
