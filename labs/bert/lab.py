"""BERT: hidden words and following sentences teach an encoder what words mean; then a few labels are enough.

    ./inv lab bert                              drawn scenes: pre-training, word vectors, fine-tuning with and without
    ./inv lab bert -- --preset plays            Tiny Shakespeare; then
    ./inv lab bert -- --predict "to be or [MASK] to be"
    ./inv lab bert -- --preset snips            real requests: 50, 100, 300 labels, with pre-training and without
    ./inv lab bert -- --text FILE               a text of yours
    ./inv lab bert -- --part lessons            the encoder by hand against torch.nn; rates, NSP's ceiling, subwords
    ./inv lab bert -- --part speed              the step of the tutorials, and nine times as many words a second
    ./inv practice bert                         exercises that check themselves

You learn what section 100 of the notes is about: masked language model, next sentence prediction, reading in both
directions, and why what was learned without labels saves labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labkit.runs.run import Run
from labkit.runs.start import start
from labs.bert import corpus as corpora
from labs.bert import lessons, own, pretraining, requests, show, speed, tuning
from labs.bert.config import PRESETS, Config
from labs.bert.corpus import Corpus
from labs.bert.network import Bert
from labs.bert.training import Trainings, first_weights

LOOKS = 16


def main(config: Config, run: Run) -> dict[str, float]:
    """The parts that are asked for; pre-training comes before what is fine-tuned from it."""
    if config.predict is not None:
        return own.main(config, run)
    found: dict[str, float] = {}
    if config.wants("lessons"):
        found.update(lessons.show(run))
    if config.part == "speed":
        found.update(speed.show(run))
    if config.wants("pretrain"):
        found.update(pretrain(config, run))
    return found


def read(config: Config, run: Run) -> Corpus:
    """What the options ask for."""
    if config.text:
        return corpora.of_text(Path(config.text), "./inv lab bert -- --text FILE")
    if config.dataset == "snips":
        return corpora.snips(run.dataset("snips"))
    if config.dataset == "shakespeare":
        return corpora.of_text(run.dataset("shakespeare") / "input.txt", "./inv data shakespeare --verify")
    return corpora.drawn(run.seed)


def pretrain(config: Config, run: Run) -> dict[str, float]:
    """Pre-train, look at the words, and fine-tune where there are labels."""
    corpus = read(config, run)
    show.texts(run, config, corpus)
    facts: dict[str, Any] = {"words": corpus.vocabulary.state()}
    trainings = Trainings(run, facts)
    drawn = corpus.groups is not None
    wanted = [False, True] if config.control and drawn else [False]
    made = [pretraining.training(corpus, config, run.seed, run.device, one_way, LOOKS) for one_way in wanted]
    rows = [trainings.train(training) for training in made]
    networks: dict[str, Bert] = {}
    for training, row in zip(made, rows):
        network: Any = first_weights(training)
        network.load_state_dict(row["weights"])
        networks[row["name"]] = network.eval()
    both_ways = networks["pretrain/both ways"]
    most = lessons.ceiling(*lessons.pairs_of(corpus, pretraining.JUDGED)) if drawn else None
    found = show.pretrained(run, corpus, rows, most)
    show.neighbours(run, corpus, both_ways, config.dataset or "")
    if drawn:
        if config.control:
            show.places(run, corpus, config, networks)
        before: Any = first_weights(made[0])
        found["same_theme"] = show.words_in_a_plane(run, corpus, before, both_ways)
        scores = {way: [trainings.train(tuning.training(corpus, config, way, rows[0]["weights"], 1000 * run.seed + draw,
                                                        run.device))["scores"]["accuracy"]
                        for draw in range(config.repeats)] for way in tuning.WAYS}  # fmt: skip
        found.update(show.tuned(run, scores))
    elif corpus.labels is not None and not requests.too_short(run, rows[0]):
        judged = requests.tune(trainings, corpus, config, rows[0], run.seed, run.device)
        found.update(requests.show(run, config, rows[0], judged))
    trainings.end()
    return found


if __name__ == "__main__":
    start(main, Config, PRESETS)
