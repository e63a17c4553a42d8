"""The lab bert: its parts against torch.nn, what is hidden and paired, what is refused, and its runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary

from labkit.base.errors import UserError
from labkit.base.hardware import Processor
from labkit.data import samples
from labkit.runs import compat, iob, text
from labs.bert import (
    attention,
    config,
    corpus,
    lab,
    lessons,
    masking,
    network,
    oracles,
    own,
    pretraining,
    requests,
    scenes,
    speed,
    subwords,
    training,
    tuning,
    words,
)

TINY = ["--steps", "20", "--width", "8", "--heads", "2", "--layers", "1", "--tune-steps", "3", "--repeats", "1"]
PLAYS = [*TINY, "--sample", "--dataset", "shakespeare"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


# ---- the encoder ----


@pytest.mark.parametrize("claim", oracles.CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_about_the_parts_holds(claim):
    assert claim.difference() <= claim.most


def test_a_broken_attention_is_noticed(monkeypatch):
    monkeypatch.setattr(attention, "attend_fast", lambda q, k, v, allowed=None: attention.attend(q, k, v, allowed))
    for broken in (
        lambda q, k, v, _=None: torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v,
        lambda q, k, v, _=None: v,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(attention, "attend", broken)
            assert oracles.heads() > 1e-3 and oracles.layer() > 1e-3


def test_where_the_norm_stands_is_noticed(monkeypatch):
    def pre_norm(self, x, allowed=None):
        x = x + self.attention(self.norm1(x), allowed)
        return x + self.narrow(torch.nn.functional.gelu(self.wide(self.norm2(x))))

    monkeypatch.setattr(attention.Layer, "forward", pre_norm)
    assert oracles.layer() > 1e-3


def test_reading_both_ways_sees_what_comes_later():
    for left_to_right, same in ((True, True), (False, False)):
        made, given = oracles.small(left_to_right).encoder, oracles.words()
        changed = given.clone()
        changed[:, -1] = words.FIRST + (given[:, -1] - words.FIRST + 1) % 9
        assert torch.equal(made(given)[:, :-1], made(changed)[:, :-1]) == same


# ---- what is hidden and paired ----


def test_the_rates_of_hiding_are_those_that_are_meant():
    for seed in range(3):
        for name, (found, of, meant) in lessons.counted(0.15, seed).items():
            sigma = math.sqrt(meant * (1 - meant) / of)
            assert abs(found / of - meant) < 4 * sigma, name


def test_marks_are_never_hidden_and_nothing_else_moves():
    texts = masking.Texts([[[5, 6, 7], [8, 9]], [[5, 9], [6, 8, 7]]] * 30, 16, 0, 0.5, 10, pairs=True)
    for step in (0, 1, 7):
        batch = texts(step)
        whole = batch.words.flatten().index_copy(0, batch.places, batch.hidden).reshape(batch.words.shape)
        assert (batch.hidden >= words.FIRST).all() and (whole[:, 0] == words.CLS).all()
        assert ((whole == words.SEP).sum(dim=1) == 2).all() and (whole != words.MASK).all()
        ends = (whole == words.SEP).long().cumsum(dim=1)
        after = torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], dim=1)
        assert torch.equal(batch.segments, (after > 0).long())
        kept = torch.ones(batch.words.numel(), dtype=torch.bool)
        kept[batch.places] = False
        assert torch.equal(batch.words.flatten()[kept], whole.flatten()[kept])


def test_a_batch_follows_from_the_seed_and_the_step_alone():
    made = corpus.drawn(0)
    one, other = (masking.Texts(made.held, 32, 3, 0.15, len(made.vocabulary), True) for _ in range(2))
    late = other.rows(50)
    for step in (0, 20, 50, 3):
        for a, b in zip(one(step), other(step)):
            assert torch.equal(a, b)
    assert late == one.rows(50)


def test_half_of_the_pairs_follow_and_the_others_come_from_another_document():
    made = corpus.drawn(0)
    texts = masking.Texts(made.train, 64, 0, 0.15, len(made.vocabulary), True)
    rows = [row for batch in texts.epoch(1) for row in batch]
    share = sum(row[2] for row in rows) / len(rows)
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / len(rows)) and len(rows) == corpus.SCENES * (scenes.SPEECHES - 1)
    for a, b, follows in rows:
        assert b == a + 1 if follows else texts.document[a] != texts.document[b]
        assert not follows or texts.document[a] == texts.document[b]


def test_a_batch_in_which_nothing_was_chosen_asks_for_one_word():
    seen, places = masking.hide(torch.tensor([[1, 7, 8, 2]]), 1e-9, 20, torch.Generator().manual_seed(0))
    assert places.tolist() == [1]
    seen, places = masking.hide(torch.randint(4, 20, (50, 9)), 0.5, 20, torch.Generator().manual_seed(0), always=True)
    assert (seen.flatten()[places] == words.MASK).all() and (seen == words.MASK).sum() == len(places)


def test_what_next_sentence_prediction_can_reach_and_the_mistake_that_keeps_it_at_half():
    made = corpus.drawn(0)
    same, follows = lessons.pairs_of(made, 0)
    most = lessons.ceiling(same, follows)
    assert abs(most - (1 - 1 / 12)) < 4 * math.sqrt(0.08 / len(same))
    assert lessons.judged_pairs(same, follows, -100)[2] == most
    loss, said, right = lessons.judged_pairs(same, follows, 0)
    assert loss < 0.01 and said == 1 and abs(right - 0.5) < 0.1


# ---- scenes ----


def test_no_theme_word_of_the_labels_is_asked_for():
    for seed in range(5):
        learned, judged = scenes.labelled(seed)
        seen = {word for sentence in learned.sentences for word in sentence if word in scenes.THEME_OF}
        asked = {word for sentence in judged.sentences for word in sentence if word in scenes.THEME_OF}
        assert not seen & asked and len(learned.sentences) == 24 and len(seen) <= 18
        for sentence, theme in zip(learned.sentences + judged.sentences, learned.themes + judged.themes):
            assert {scenes.THEME_OF[word] for word in sentence if word in scenes.THEME_OF} == {theme}
    frames = {word for frame in scenes.FRAMES for word in frame.split()}
    assert not frames & (set(scenes.THEME_OF) | set(scenes.NAMES)) and len(scenes.THEME_OF) == 48


def test_frozen_features_stay_as_they_were():
    made, options = corpus.drawn(0), config.Config(width=8, heads=2, layers=1, steps=1, tune_steps=5)
    weights = pretraining.build(made, options).state_dict()
    for way, same in (("frozen", True), ("pre-trained", False), ("scratch", False)):
        one = tuning.training(made, options, way, weights, 0, CPU)
        tuned = training.first_weights(one)
        assert torch.equal(tuned.encoder.words.weight, weights["encoder.words.weight"]) == (way != "scratch")
        learned = [weight for weight in tuned.parameters() if weight.requires_grad]
        optimizer = torch.optim.SGD(learned, lr=0.1)
        for step in range(2):
            training.train_step(tuned, optimizer, one.losses(tuned, step)["theme"])
        assert torch.equal(tuned.encoder.layers[0].wide.weight, weights["encoder.layers.0.wide.weight"]) == same


def test_the_nearest_words():
    table = torch.tensor([[1.0, 0], [9, 1], [0, 1], [-1, 0], [0.1, 2]])
    assert pretraining.nearest(table, 0, 2, 0) == [1, 4] and pretraining.nearest(table, 2, 1, 0) == [4]
    assert pretraining.nearest(table, 0, 2, 2) == [4, 2]
    assert pretraining.themes_together(torch.tensor([[1.0, 0], [2, 0.1], [0, 1], [0.1, 1]]), [0, 0, 1, 1], 1) == 1


# ---- subwords ----


def test_pairs_are_made_one_as_in_the_paper():
    """Sennrich and others 2016, algorithm 1: its words and their counts, its first ten pairs."""
    learned = subwords.learn(["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3, 10)
    assert learned[:5] == [("e", "s"), ("es", "t"), ("est", "·"), ("l", "o"), ("lo", "w")]
    assert subwords.split("lowest", learned) == ("low", "est·") and subwords.split("low", learned) == ("low·",)
    assert "".join(subwords.split("slowly", learned)) == "slowly·" and subwords.learn([""], 5) == []
    assert subwords.joined(("a", "a", "a", "b", "a", "b"), ("a", "b")) == ("a", "a", "ab", "ab")


# ---- fine-tuning on requests ----


@pytest.fixture(scope="module")
def asked(shared):
    """The sample of SNIPS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_DATA", str(shared))
        return corpus.snips(samples.locate("snips", sample=True).path)


def test_what_was_labelled_grows_and_scratch_knows_its_own_words_alone(asked):
    few, many = (requests.chosen(asked.labels, count, 4) for count in (20, 60))
    assert many[:20] == few and len(set(many)) == 60 and requests.chosen(asked.labels, 20, 5) != few
    task = requests.Task(asked, 20, 4, scratch=True)
    labelled = {number for row in task.rows for number in row}
    assert {int(n) for n in task.known} == labelled | {0} and len(labelled) < len(asked.vocabulary)
    whole = requests.Task(asked, 20, 4, scratch=False)
    assert whole.known.tolist() == list(range(len(asked.vocabulary)))
    for row, tags, k in zip(task.rows, task.tags, few):
        assert asked.vocabulary.numbers(asked.labels.train.words[k]) == row[1:-1]
        assert tuple(asked.labels.tags[tag] for tag in tags[1:-1]) == asked.labels.train.tags[k]


def test_slots_and_intents_are_judged_by_their_places(asked):
    task = requests.Task(asked, 20, 0, scratch=False)
    part = asked.labels.test
    answers = {}
    for sentence, tags, intent in zip(part.words, part.tags, part.intents):
        answers[tuple(asked.vocabulary.numbers(sentence))] = (tags, intent)

    class Knows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, rows):
            slots = torch.zeros(*rows.shape, len(asked.labels.tags))
            intents = torch.zeros(len(rows), len(asked.labels.intents))
            for k, row in enumerate(rows.tolist()):
                tags, intent = answers[tuple(row[1:-1])]
                intents[k, asked.labels.intents.index(intent)] = 1
                for place, tag in enumerate(tags):
                    slots[k, place + 1, asked.labels.tags.index(tag)] = 1
            return intents, slots

    found = task.judge(Knows())
    assert found["intents"] > 0.95 and found["slots"] > 0.95  # sentences that differ in words that occur once are one


def test_the_steps_of_the_learning_rate():
    rates = [training.rate(step, 100) for step in range(100)]
    assert rates[4] == 1 and max(rates) == 1 and rates[0] == 0.2 and abs(rates[99] - 1 / 95) < 1e-9
    assert training.rate(0, 1) == 1


def test_each_way_of_the_speed_computes_the_same_loss():
    lengths, losses = [9, 6, 12], []
    made = network.Bert(speed.VOCABULARY, 16, 1, 2).eval()
    for way in speed.WAYS[:4]:
        for layer in made.encoder.layers:
            layer.attention.attend = attention.attend_fast if way.fused else attention.attend
        batch = list(speed.batch(way._replace(padded_to=20), lengths, torch.Generator().manual_seed(3)))
        losses.append(float(speed.loss_of(made, way, *batch).detach()))
    assert max(losses) - min(losses) < 1e-5
    words_, allowed, places, _ = speed.batch(speed.WAYS[-1], [7, 7], torch.Generator().manual_seed(0))
    assert words_.shape == (2, 7) and allowed is None and (words_.flatten()[places] == words.MASK).all()


# ---- texts and what is refused ----


def paragraphs(count, lines=3):
    return "\n\n".join("\n".join(f"word{k} of line {n}." for n in range(lines)) for k in range(count))


def test_a_text_is_paragraphs_of_lines(tmp_path):
    path = tmp_path / "Mein Text.txt"
    path.write_bytes(b"\xef\xbb\xbf" + paragraphs(100).replace("\n", "\r\n").encode())
    made = corpus.of_text(path, "")
    assert len(made.train) == 95 and len(made.held) == 5 and made.pairs and made.groups is None
    assert (
        {len(document) for document in made.train} == {3} and "line" in made.vocabulary and "word7" in made.vocabulary
    )
    path.write_text(paragraphs(70) + "\n" + "one " * 150 + "\n", encoding="utf-8")
    assert max(len(sentence) for document in corpus.of_text(path, "").train for sentence in document) <= words.LONGEST


@pytest.mark.parametrize("content, said", [
    (b"", "has 0 lines in 0 paragraphs"), (b"a\0b", "holds a null character"),
    (b"one line\n" * 500, "has 500 lines in 1 paragraphs of two or more; 200 lines in 40 such paragraphs"),
    (b"a line\n\n" * 500, "has 0 lines in 0 paragraphs"), ("北京\n".encode("gbk"), "not text in UTF-8: line 1"),
    (b"one\ntwo\n\n" * 150, "has 2 words that occur 3 times or more; 20 are the least"),
])  # fmt: skip
def test_a_text_that_is_none_or_too_short_is_one_sentence(content, said, tmp_path, shared):
    (tmp_path / "text.txt").write_bytes(content)
    status, output = run_here(lab, ["--text", str(tmp_path / "text.txt"), *TINY], shared, tmp_path)
    assert status == 2 and said in output and "Traceback" not in output, output


def test_a_text_of_ones_own_is_pre_trained_on_and_asked(tmp_path, shared):
    (tmp_path / "scenes.txt").write_text(paragraphs(100), encoding="utf-8")
    status, said = run_here(lab, ["--text", str(tmp_path / "scenes.txt"), *TINY], shared, tmp_path)
    assert status == 0 and "nsp" in said and "theme" not in said, said
    status, said = run_here(lab, ["--predict", "word7 of [MASK] 2."], shared, tmp_path)
    assert status == 0 and "word7 of " in said, said


def test_a_huge_text_says_what_it_would_take(tmp_path, shared):
    with (tmp_path / "huge.txt").open("wb") as stream:
        stream.truncate(1 << 30)  # a gigabyte that takes no room
    status, output = run_here(lab, ["--text", str(tmp_path / "huge.txt")], shared, tmp_path)
    assert (
        status == 2 and "has 1,024 MB, of which one epoch takes about 5 hours" in output and "Traceback" not in output
    )


@pytest.mark.parametrize("options, said", [
    (["--width", "30"], "--width 30 is not a multiple of --heads 4"), (["--hide", "1.5"], "--hide is a share"),
    (["--labels", "50,many"], "--labels: 50,many is no list of numbers"), (["--labels", ","], "is no list of numbers"),
    (["--labels", "²"], "is no list of numbers"),
    (["--part", "speed", "--dataset", "snips"], "--part speed reads no data set"),
    (["--dataset", "snip"], "did you mean snips?"), (["--text", "gone.txt"], "--text: there is no file gone.txt"),
    (["--preset", "play"], "did you mean plays?"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(options, said, tmp_path):
    status, output = run_here(lab, options, tmp_path, tmp_path)
    assert status == 2 and said in output and "Traceback" not in output, output


def write(folder: Path, labels: str, lines: str = "play it\nstop\n", tags: str = "O B-what\nO\n") -> None:
    for name, content in (("seq.in", lines), ("seq.out", tags), ("label", labels)):
        (folder / name).write_text(content, encoding="utf-8")


def test_requests_and_their_intents_belong_together(tmp_path):
    write(tmp_path, "Play\nStop\n")
    assert corpus.read_split(tmp_path).intents == ["Play", "Stop"]
    write(tmp_path, "Play\nNone\nStop\n", "play it\n\nstop\n", "O B-what\n\nO\n")
    assert corpus.read_split(tmp_path).intents == ["Play", "Stop"]
    for labels, said in (("Play\n", "2 sentences and 1 intents"), ("Play\n\n", "2 sentences and 1 intents")):
        write(tmp_path, labels)
        with pytest.raises(UserError, match=said):
            corpus.read_split(tmp_path)
    write(tmp_path, "Play\nStop\n", tags="O\nO\n")
    with pytest.raises(UserError, match="line 1 has 2 words and 1 tags"):
        corpus.read_split(tmp_path)
    with pytest.raises(UserError, match="line 1 has 2 words, more than 1"):
        write(tmp_path, "Play\nStop\n")
        iob.read_split(tmp_path, "snips", 1)


# ---- runs ----


@pytest.mark.parametrize("options, stop_at", [
    ([], 63), (["--sample", "--dataset", "snips", "--labels", "5,9"], 22),
    (["--sample", "--dataset", "shakespeare"], 7),
], ids=["scenes", "snips", "plays"])  # fmt: skip
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(options, stop_at, shared, tmp_path, monkeypatch):
    monkeypatch.setattr(requests, "LEAST", 0.0)
    assert_resumes_exactly(lab, [*TINY, *options, "--save-every", "1000"], stop_at, shared, tmp_path)


def test_wide_vectors_are_multiplied_in_bfloat16_where_that_is_faster(shared, tmp_path, monkeypatch):
    amx = Processor("a processor", "GenuineIntel", frozenset({"amx_bf16"}))
    monkeypatch.setattr(compat, "processor", lambda: amx)
    losses = []
    for pays_from in (9, 8):
        monkeypatch.setattr(compat, "PAYS_FROM", pays_from)
        assert run_here(lab, PLAYS, shared, tmp_path / str(pays_from))[0] == 0
        rows = (newest(lab, tmp_path / str(pays_from)) / "metrics.jsonl").read_text().splitlines()
        losses.append([row["mlm_loss/both ways"] for row in map(json.loads, rows) if "mlm_loss/both ways" in row])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert (losses[1] != losses[0]) == compat.MODERN


@pytest.fixture(scope="module")
def plays(shared, tmp_path_factory):
    """The runs folder of a short pre-training on the sample of the plays, and its checkpoint."""
    runs = tmp_path_factory.mktemp("runs")
    status, said = run_here(lab, PLAYS, shared, runs)
    assert status == 0, said
    return runs, newest(lab, runs) / "checkpoints" / "last.pt"


def test_the_report_of_the_plays(plays):
    folder = newest(lab, plays[0])
    assert {"mlm", "nsp"} <= set(summary(folder)["metrics"])
    assert {path.stem for path in (folder / "tables").glob("*.json")} == {"texts", "pretrained", "nearest"}


def test_a_sentence_of_the_users_own_is_filled_in(plays, shared):
    status, said = run_here(lab, ["--predict", "I have seen the [mask], before the night is done."], shared, plays[0])
    assert status == 0 and "I have seen the " in said and "%" in said, said
    rows = json.loads((newest(lab, plays[0]) / "tables" / "filled.json").read_text())["rows"]
    assert len(rows) == own.SHOWN and "[MASK]" not in rows[0][2] and rows[0][0] not in words.MARKS


@pytest.mark.parametrize("sentence, said", [
    ("", "the sentence has no word"), ("[MASK]", "the sentence has no word"), ("the king", "the sentence has no [MASK]"),
    ("[MASK] the [MASK] king", "the sentence has 2 times [MASK]"), ("the kin [MASK]", "did you mean king?"),
    ("北 [MASK]", "has never seen 北"), ("the " * 70 + "[MASK]", "the sentence has 70 words, and 59 are the most"),
])  # fmt: skip
def test_a_sentence_that_cannot_be_filled_in_is_one_sentence(sentence, said, plays, shared):
    status, output = run_here(lab, ["--predict", sentence], shared, plays[0])
    assert status == 2 and said in output and "Traceback" not in output, output


def test_a_sentence_before_any_pre_training_is_one_sentence(tmp_path):
    status, said = run_here(lab, ["--predict", "the [MASK]"], tmp_path, tmp_path / "runs")
    assert status == 2 and "nothing has been pre-trained yet" in said and "Traceback" not in said


@pytest.mark.parametrize("change, said", [
    (lambda s: s["state"].update(words=s["state"]["words"][:-3]), "weights do not fit its vocabulary"),
    (lambda s: s["state"].update(words=["<unk>", "a", "b", "c"]), "its vocabulary lacks the marks"),
    (lambda s: s["state"].update(words="abc"), "holds no vocabulary"),
    (lambda s: s["state"].pop("words"), "holds no pre-trained network"),
    (lambda s: s["config"].update(width=16), "weights do not fit"), (lambda s: s["config"].update(heads=3), "multiple"),
    (lambda s: s["state"].update(finished=[]), "holds no pre-trained network"),
    (lambda s: s.update(lab="rnn"), "of the lab rnn"),
], ids=range(8))  # fmt: skip
def test_another_checkpoint_is_one_sentence(change, said, plays, shared, tmp_path):
    saved = compat.load(plays[1])
    change(saved)
    compat.save(saved, tmp_path / "other.pt")
    status, output = run_here(
        lab, ["--predict", "the [MASK]", "--checkpoint", str(tmp_path / "other.pt")], shared, tmp_path
    )
    assert status == 2 and said in output and "Traceback" not in output, output


def test_too_short_a_pre_training_is_not_compared(shared, tmp_path):
    status, said = run_here(lab, [*TINY, "--steps", "2", "--sample", "--dataset", "snips"], shared, tmp_path)
    assert status == 0 and "nothing is compared" in said and "tune" not in said, said
    assert not [name for name in summary(newest(lab, tmp_path))["metrics"] if name.startswith("slots")]


def test_the_report_of_the_requests(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(requests, "LEAST", 0.0)
    status, said = run_here(lab, [*TINY, "--sample", "--dataset", "snips", "--labels", "9,5"], shared, tmp_path)
    assert status == 0, said
    found = summary(newest(lab, tmp_path))["metrics"]
    assert {"slots/5", "slots_gain/9", "intents/5", "intents_gain/9", "mlm"} <= set(found) and "nsp" not in found
    assert said.count("tune/after") == 4


def test_the_whole_lab_and_its_report(shared, tmp_path):
    status, said = run_here(lab, ["--smoke"], shared, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {"pretraining", "words", "tuned"}
    assert {"claims", "rates", "pairs", "subwords", "texts", "pretrained", "nearest", "tuned"} == {
        path.stem for path in (folder / "tables").glob("*.json")
    }
    assert summary(folder)["metrics"]["claims"] == len(oracles.CLAIMS)


def test_options_that_are_left_out_follow():
    assert config.Config().dataset == "scenes" and not config.Config().trains
    assert config.Config(dataset="snips").trains and config.Config(labels="300, 50,50").counts == (50, 300)
    assert text.Vocabulary.from_state(words.vocabulary([["b", "[MASK]"]]).state()).words == ["<unk>", *words.MARKS, "b"]
