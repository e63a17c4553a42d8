"""A lab's command line: what it accepts, and how it answers what it does not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from labkit.base.errors import UserError
from labkit.runs import options
from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    model: str = option("fast", "backbone", choices=("fast", "resnet18"))
    epochs: int = option(8, "passes over 100 % of the training set", at_least=1)
    weight_decay: float = option(0.05, "pull towards zero", at_least=0)
    flip: bool = option(True, "mirror half of the images")
    predict: str = option("", "an image", path=True)


PRESETS = {"smoke": {"epochs": 2}, "notes": {"weight_decay": 0.001, "flip": False}}


def parse(*argv):
    return options.parse(argv, Config, PRESETS, "cifar10", "Learn CIFAR-10.")


def config(*argv):
    return options.build(Config, PRESETS, parse(*argv))


def test_defaults_then_preset_then_what_was_typed():
    assert config() == Config()
    assert config("--preset", "notes") == Config(weight_decay=0.001, flip=False)
    assert config("--preset", "notes", "--weight-decay", "0.2", "--flip") == Config(weight_decay=0.2)
    assert config("--no-flip", "--model=resnet18", "--epochs", "3") == Config(model="resnet18", epochs=3, flip=False)
    assert parse("--epochs", "3").typed == {"epochs": 3}


def test_smoke_is_the_smoke_preset_on_the_sample():
    request = parse("--smoke")
    assert (request.preset, request.smoke, request.sample) == ("smoke", True, True)
    assert config("--smoke") == Config(epochs=2)
    assert config("--smoke", "--epochs", "5").epochs == 5


def test_run_options():
    request = parse("--seed", "7", "--resume", "latest", "--save-every", "0.5", "--sample")
    assert (request.seed, request.resume, request.save_every_s, request.sample) == (7, "latest", 0.5, True)
    assert (parse().seed, parse().save_every_s) == (None, 60.0)


@pytest.mark.parametrize(
    "argv, sentence",
    [
        (["--epocs", "3"], "unknown option --epocs; did you mean --epochs?"),
        (["--epocs=3"], "unknown option --epocs; did you mean --epochs?"),
        (["--epoch", "3"], "unknown option --epoch; did you mean --epochs?"),
        (["3"], "unexpected word '3'"),
        (["--model", "resnet19"], "--model: unknown value resnet19; did you mean resnet18?"),
        (["--epochs", "many"], "--epochs: many is not a whole number"),
        (["--epochs", "1.5"], "--epochs: 1.5 is not a whole number"),
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--epochs", "-3"], "--epochs must be at least 1, not -3"),
        (["--epochs"], "--epochs: expected one argument"),
        (["--weight-decay", "nan"], "--weight-decay: nan is not a finite number"),
        (["--weight-decay", "x"], "--weight-decay: x is not a number"),
        (["--seed", "-1"], "--seed must be at least 0, not -1"),
        (["--seed", "4294967296"], "--seed must be at most 4294967295, not 4294967296"),
        (["--save-every", "soon"], "--save-every: soon is not a number"),
        (["--preset", "note"], "--preset: there is no note; did you mean notes?"),
        (["--smoke", "--preset", "notes"], "--smoke is a preset itself"),
        (["--predict", "nowhere.jpg"], "--predict: there is no file nowhere.jpg"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(argv, sentence):
    with pytest.raises(UserError) as answer:
        parse(*argv)
    assert sentence in answer.value.message and "\n" not in answer.value.message
    assert answer.value.next_command == "./inv lab cifar10 -- --help"


@dataclass(frozen=True)
class Bounds:
    count: int = option(8, "at least", at_least=3)
    rate: float = option(0.5, "above", above=0)


@pytest.mark.parametrize(
    ("word", "value", "taken"),
    [("--count", "3", True), ("--count", "2", False), ("--rate", "1e-300", True), ("--rate", "0", False),
     ("--seed", "0", True), ("--seed", "4294967295", True), ("--seed", "4294967296", False), ("--save-every", "0", True)],
)  # fmt: skip
def test_a_bound_itself_is_allowed_and_what_lies_beyond_is_not(word, value, taken):
    if taken:
        options.parse([word, value], Bounds, {}, "toy")
    else:
        with pytest.raises(UserError, match=f"{word} must be"):
            options.parse([word, value], Bounds, {}, "toy")


def test_paths_arrive_absolute(tmp_path, monkeypatch):
    (tmp_path / "my photo.jpg").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert config("--predict", "my photo.jpg").predict == str(tmp_path / "my photo.jpg")


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as left:
        parse("--help")
    assert left.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in (
        "./inv lab cifar10 -- [options]", "Learn CIFAR-10.", "--model fast|resnet18", "(default: 8)", "100 % of",
        "--flip", "(default: on)", "--predict PATH", "--seed N", "--resume RUN", "smoke: --epochs 2",
        "notes: --weight-decay 0.001 --no-flip",
    ):  # fmt: skip
        assert text in out


def test_words_that_belong_to_no_option_go_to_the_field_that_takes_them():
    @dataclass(frozen=True)
    class Open:
        epochs: int = option(8, "passes over the training set")
        overrides: str = option("", "settings to change", rest=True)

    def read(*argv):
        return options.build(Open, {}, options.parse(argv, Open, {}, "detectron2"))

    assert read("SOLVER.BASE_LR", "0.1", "--epochs", "3", "X.Y", "-1 2") == Open(3, "SOLVER.BASE_LR 0.1 X.Y '-1 2'")
    assert read() == Open()
    with pytest.raises(UserError, match="unknown option --epocs; did you mean --epochs"):
        read("SOLVER.BASE_LR", "0.1", "--epocs", "3")


@dataclass(frozen=True)
class WithPhotos:
    epochs: int = option(8, "passes", at_least=1)
    beam: int = option(5, "beginnings", at_least=1)
    predict: str | None = option(None, "a photo", instead=True, reads=("checkpoint", "beam"))
    checkpoint: str | None = option(None, "the network for --predict", path=True, or_run=True)


def with_photos(*argv):
    presets = {"smoke": {"epochs": 1}, "long": {"epochs": 80}}
    return options.build(WithPhotos, presets, options.parse(argv, WithPhotos, presets, "cifar10"))


@pytest.mark.parametrize(
    "argv, sentence",
    [
        (["--predict", "seven", "--epochs", "3"], "--predict trains nothing and does not look at --epochs"),
        (["--predict", "seven", "--preset", "long"], "--predict trains nothing and does not look at --preset"),
        (["--checkpoint", "latest"], "--checkpoint goes with --predict, which is not given"),
    ],
)
def test_what_would_not_be_looked_at_is_refused(argv, sentence):
    with pytest.raises(UserError) as error:
        with_photos(*argv)
    assert error.value.message == sentence


def test_what_is_looked_at_is_taken():
    found = with_photos("--predict", "seven", "--checkpoint", "latest", "--beam", "3", "--seed", "1")
    assert (found.predict, found.checkpoint, found.beam) == ("seven", "latest", 3)
    assert with_photos("--beam", "3", "--epochs", "2").beam == 3
    assert with_photos("--predict", "seven", "--smoke").predict == "seven"


def test_what_takes_the_other_words_is_no_option_itself_and_the_help_says_what_they_are(capsys):
    @dataclass(frozen=True)
    class Open:
        overrides: str = option("", "settings to change", rest=True)

    with pytest.raises(SystemExit):
        options.parse(["--help"], Open, {}, "detectron2")
    out = capsys.readouterr().out
    assert "./inv lab detectron2 -- [options] [words]" in out and "[words]: settings to change" in out and "--overrides" not in out
    with pytest.raises(UserError, match="unknown option --overrides"):
        options.parse(["--overrides", "X.Y"], Open, {}, "detectron2")
