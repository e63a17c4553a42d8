"""Recurrent networks: "Arrive Beijing on November 2nd", cells by hand that the lab trains with, and how they forget.

    ./inv lab rnn                               slots filled by five networks, in one direction and in both
    ./inv lab rnn -- --part gradients           the gradient by distance, and the line that lets an LSTM remember
    ./inv lab rnn -- --part adding              a sum over distance; gradients that explode, and clipping
    ./inv lab rnn -- --part cells               each cell against torch.nn; backward through time without autograd
    ./inv lab rnn -- --part forms               one-to-one, one-to-many, many-to-one, many-to-many
    ./inv lab rnn -- --part characters          a network that writes like Shakespeare's plays
    ./inv lab rnn -- --predict "Leave Beijing on November 2nd"
    ./inv practice rnn                          exercises that check themselves

You learn what sections 94 to 97 of the notes are about: memory, forward and backward through time, why gradients vanish
and what gates do about it, reading in both directions, and the relatives of the LSTM.
"""

from __future__ import annotations

from typing import Any

from labkit.runs.run import Run
from labkit.runs.start import start
from labs.rnn import cells_part, characters, forms, gradients, own, slots
from labs.rnn.config import PRESETS, Config
from labs.rnn.training import Training, train_all


def main(config: Config, run: Run) -> dict[str, float]:
    """The parts that are asked for: what they train, one network after the other, then what they show."""
    if config.predict is not None:
        return own.main(config, run)
    found: dict[str, float] = {}
    if config.wants("cells"):
        found.update(cells_part.show(run))
    trainings: list[Training] = []
    facts: dict[str, Any] = {"config": run.facts["options"], "sample": run.sample}
    if config.wants("slots"):
        corpus = slots.read(run, config)
        slots.show_sentences(run, corpus)
        facts.update(words=corpus.vocabulary.state(), tags=corpus.tags)
        trainings += slots.trainings(config, corpus, run.seed)
    if config.wants("forms"):
        trainings += forms.trainings(config, run.seed)
    if config.wants("gradients"):
        trainings += gradients.recalling(config, run.seed)
    if config.wants("adding"):
        trainings += gradients.adding_up(config, run.seed)
    if config.wants("characters"):
        play = characters.read(run)
        trainings += characters.trainings(config, play, run.seed)
    if not trainings:
        return found
    rows = train_all(trainings, run, facts)
    if config.wants("slots"):
        found.update(slots.show(run, config, corpus, rows))
    if config.wants("forms"):
        found.update(forms.show(run, config, rows))
    if config.wants("gradients"):
        found.update(gradients.show(run, config, rows))
    if config.wants("adding"):
        found.update(gradients.show_adding(run, config, rows))
    if config.wants("characters"):
        found.update(characters.show(run, config, play, rows))
    return found


if __name__ == "__main__":
    start(main, Config, PRESETS)
