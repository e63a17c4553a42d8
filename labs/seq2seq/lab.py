"""Sequence to sequence: strings turned round, dates, English to Chinese; without attention and with it.

    ./inv lab seq2seq                               strings reversed: what a context of fixed length can hold
    ./inv lab seq2seq -- --task dates               "november 2nd, 1994" and 1994年11月2日 to 1994-11-02
    ./inv lab seq2seq -- --task translation         English to Chinese, judged by BLEU, by the length of the sentence
    ./inv lab seq2seq -- --attention none,fixed,dot,additive
    ./inv lab seq2seq -- --context last,projected,mean
    ./inv lab seq2seq -- --task claims              attention by hand against loops; what is equal to what
    ./inv lab seq2seq -- --predict "I love you."    with the map of what it looked at
    ./inv practice seq2seq                          exercises that check themselves

You learn what section 98 of the notes is about: encoder and decoder, the context c and its three forms, why one vector
of fixed length is too little for a long input, and how attention gives each step of the answer a context of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labkit.runs import claims
from labkit.runs import pairs as reader
from labkit.runs.pairs import Corpus
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.seq2seq import corpus, own, shown
from labs.seq2seq.config import PRESETS, TASKS, Config
from labs.seq2seq.oracles import CLAIMS
from labs.seq2seq.training import Training, train_all


def read(config: Config, run: Run, task: str) -> Corpus:
    """What a task learns from: drawn pairs, or a file of them."""
    if task != "translation":
        return corpus.draw(task, run.seed)
    return reader.read(Path(config.pairs) if config.pairs else run.dataset("cmn_eng") / "cmn.txt")


def main(config: Config, run: Run) -> dict[str, float]:
    """The tasks that are asked for: their pairs, one network after the other, then what each has learned."""
    if config.predict is not None:
        return own.main(config, run)
    found: dict[str, float] = {}
    if config.wants("claims"):
        found["claims"] = claims.show(run, CLAIMS)
    corpora = {task: read(config, run, task) for task in TASKS if config.wants(task)}
    if not corpora:
        return found
    facts: dict[str, Any] = {"config": run.facts["options"], "sample": run.sample}
    trainings = []
    for task, pairs in corpora.items():
        shown.show_pairs(run, pairs)
        facts[task] = {"known": pairs.known.state(), "said": pairs.said.state()}
        trainings += [Training(pairs, name, kind, config.sizes(task), config.forcing, config.clip, run.seed)
                      for name, kind in config.kinds.items()]  # fmt: skip
    rows = train_all(trainings, run, facts)
    for pairs in corpora.values():
        own_trainings = [training for training in trainings if training.corpus is pairs]
        found.update(shown.show(run, config, pairs, own_trainings, rows))
    return found


if __name__ == "__main__":
    start(main, Config, PRESETS)
