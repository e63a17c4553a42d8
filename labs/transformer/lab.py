"""Transformers: attention by hand, why copying beyond the trained length fails and what helps, translation, text.

    ./inv lab transformer                               copying, by eight ways to tell places apart
    ./inv lab transformer -- --part attention           against torch.nn; why the root; masks; rotations; what it costs
    ./inv lab transformer -- --part translation         English to Chinese by encoder and decoder
    ./inv lab transformer -- --part characters          a decoder alone that writes like Shakespeare's plays
    ./inv lab transformer -- --predict "I love you."    translated, or written on, by the newest network
    ./inv practice transformer                          exercises that check themselves

You learn what section 99 of the notes is about: scaled dot products, several heads, masks, places, encoder and decoder,
and the two failures that it names, as runs.
"""

from __future__ import annotations

from typing import Any

from labkit.runs.run import Run
from labkit.runs.start import start
from labs.transformer import characters, length, lessons, own, translation
from labs.transformer.config import PRESETS, Config
from labs.transformer.training import Training, train_all


def main(config: Config, run: Run) -> dict[str, float]:
    """The parts that are asked for: what they train, one network after the other, then what they show."""
    if config.predict is not None:
        return own.main(config, run)
    found: dict[str, float] = {}
    if config.wants("attention"):
        found.update(lessons.show(run))
    trainings: list[Training] = []
    facts: dict[str, Any] = {"config": run.facts["options"], "sample": run.sample}
    if config.wants("length"):
        trainings += length.trainings(config, run.seed)
    if config.wants("translation"):
        corpus = translation.read(config, run)
        translation.show_pairs(run, corpus)
        facts["translation"] = {"known": corpus.known.state(), "said": corpus.said.state()}
        trainings += translation.trainings(config, corpus, run.seed)
    if config.wants("characters"):
        play = characters.read(config, run)
        facts["characters"] = {"letters": play.letters}
        trainings += characters.trainings(config, play, run.seed)
    if not trainings:
        return found
    rows = train_all(trainings, run, facts)
    if config.wants("length"):
        found.update(length.show(run, config, rows))
    if config.wants("translation"):
        found.update(translation.show(run, config, corpus, rows))
    if config.wants("characters"):
        found.update(characters.show(run, config, play, rows))
    return found


if __name__ == "__main__":
    start(main, Config, PRESETS)
