"""The lab seq2seq: what is equal to what, pairs in files, what is drawn, searches, and its runs."""

from __future__ import annotations

import json

import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary
from torch.nn import functional as F

from labkit.base.errors import UserError
from labkit.runs import compat, pairs
from labkit.runs.text import Vocabulary
from labs.seq2seq import attention, config, corpus, decoding, drawn, lab, oracles, own, scores, training
from labs.seq2seq.config import Config, Kind, Sizes
from labs.seq2seq.decoding import Answer
from labs.seq2seq.networks import Seq2Seq

TINY = ["--steps", "8", "--hidden", "6", "--embed", "4", "--batch-size", "8", "--beam", "1"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


# ---- what is equal to what ----


@pytest.mark.parametrize("claim", oracles.CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_holds(claim):
    assert claim.difference() <= claim.most


def test_a_loss_that_counts_padding_is_noticed(monkeypatch):
    def counted(logits, wanted, smoothing=0.0):
        return F.cross_entropy(logits.reshape(-1, logits.shape[2]), wanted.clamp(min=0).reshape(-1))

    monkeypatch.setattr(oracles, "loss_of", counted)
    assert oracles.padding() > 1e-2


def test_attention_over_the_answer_in_place_of_the_source_is_noticed(monkeypatch):
    monkeypatch.setattr(torch, "softmax", lambda scores, dim: scores.softmax(1))
    assert oracles.dot() > 1e-2 and oracles.additive() > 1e-2


def test_weights_sum_to_one_over_the_source():
    queries, memory = oracles.drawn(5, 3, 6), oracles.drawn(7, 3, 6)
    for kind in ("dot", "additive"):
        _, weights = attention.Attention(kind, 6).double()(queries, memory)
        assert weights.shape == (3, 5, 7)
        assert torch.allclose(weights.sum(dim=2), torch.ones(3, 5, dtype=torch.float64), atol=1e-14)


def test_the_loss_is_that_of_pytorch():
    logits, wanted = oracles.drawn(4, 3, 9), torch.tensor([[1, 2, 3], [4, 5, -1], [6, -1, -1], [1, -1, -1]])
    flat, targets = logits.reshape(-1, 9), wanted.reshape(-1)
    assert torch.allclose(pairs.loss_of(logits, wanted), F.cross_entropy(flat, targets, ignore_index=-1))
    smooth = 0.9 * F.cross_entropy(flat, targets, ignore_index=-1)
    smooth = smooth - 0.1 * F.log_softmax(flat, dim=1)[targets >= 0].mean()
    assert torch.allclose(pairs.loss_of(logits, wanted, 0.1), smooth)


def test_only_attention_and_fixed_give_the_decoder_its_context_again():
    source, given = oracles.sources(), pairs.in_columns(oracles.targets())[0]
    for name in config.ATTENTIONS:
        made = oracles.network(Kind(name, "last"))
        memory = made.encode(source)
        other = memory._replace(states=memory.states + 1), memory._replace(context=memory.context + 1)
        plain, states, context = (made.decode(given, one, memory.context)[0] for one in (memory, *other))
        assert torch.equal(plain, states) == (name in ("none", "fixed"))
        assert torch.equal(plain, context) == (name != "fixed")


def test_contexts_are_what_the_notes_say():
    source = oracles.sources()
    for name in config.CONTEXTS:
        made = oracles.network(Kind("none", name))
        memory = made.encode(source)
        forwards, backwards = memory.states.chunk(2, dim=2)
        last = torch.cat([forwards[-1], backwards[0]], dim=1)
        wanted = {"last": last, "mean": memory.states.mean(dim=0)}
        if name == "projected":
            wanted[name] = torch.tanh(last @ made.project.weight.t() + made.project.bias)
        assert torch.allclose(memory.context[0], wanted[name], atol=1e-14), name


# ---- searches ----


def test_no_answer_holds_an_unknown_word_or_goes_on_after_its_end():
    made, known = oracles.network(Kind("dot", "last")), Vocabulary("abcdefghij")
    made.bias.data[0] = 100.0  # <unk> would be the likeliest
    said = Vocabulary([pairs.MARK, *"abcdefg"])
    sources = [tuple("abc"), tuple("jihgf"), tuple("a"), tuple("bca")]
    for width in (1, 3):
        found = decoding.answers(made, sources, known, said, width)
        assert all(not {"<unk>", pairs.MARK} & set(one.words) for one in found)
        assert all(len(one.words) <= pairs.most_words(len(source)) for one, source in zip(found, sources))
    for one, source in zip(decoding.answers(made, sources, known, said), sources):
        alone = decoding.answers(made, [source], known, said)[0]
        assert one.words == alone.words and torch.allclose(one.weights, alone.weights)
        assert one.weights.shape[1] == len(source)


def test_a_wider_beam_finds_no_worse_answer_where_it_keeps_all():
    found = {width: decoding.beam(oracles.network(Kind("fixed", "mean")), oracles.sources()[:, :1], width)
             for width in (1, 8)}  # fmt: skip
    chance = {width: oracles.mean_chance(oracles.network(Kind("fixed", "mean")), oracles.sources()[:, :1], tuple(answer))
              for width, answer in found.items()}  # fmt: skip
    assert chance[8] >= chance[1] - 1e-12


def test_without_forcing_the_decoder_is_given_what_it_said():
    made = oracles.network(Kind("additive", "projected"))
    given, _ = pairs.in_columns(oracles.targets())
    own_ones = training.own_words(made, oracles.sources(), given)
    said = made((oracles.sources(), own_ones)).argmax(dim=2)
    assert torch.equal(own_ones[1:], said[:-1]) and torch.equal(own_ones[0], given[0])


# ---- what is drawn, and files ----


def test_strings_and_dates():
    strings = drawn.strings(36, 0)
    assert {len(pair.source) for pair in strings} == set(range(3, 21)) and strings == drawn.strings(36, 0)
    assert all(pair.target == tuple(reversed(pair.source)) for pair in strings)
    written = drawn.ways(drawn.datetime.date(1994, 11, 2))
    assert {"november 2nd, 1994", "nov 2, 1994"} < set(written["en"])
    assert {"1994年11月2日", "一九九四年十一月二日"} < set(written["zh"])
    assert len({way for every in written.values() for way in every}) == 10


def test_no_source_that_judges_is_learned_from():
    for task in ("reversal", "dates"):
        made = corpus.draw(task, 0)
        assert not {pair.source for pair in made.train} & {one.source for one in made.test}
        assert [one.source for one in made.test if one.kind or len(one.source) > 6] == [
            one.source for one in corpus.draw(task, 1).test if one.kind or len(one.source) > 6
        ]
    learned = {pair.target for pair in made.train}
    assert not learned & {answer for one in made.test for answer in one.answers}  # no way of a day that judges
    assert {one.kind for one in made.test} == {"en", "zh"}


def lines(*pairs):
    return "\n".join("\t".join(pair) for pair in pairs) + "\n"


def file(tmp_path, content):
    path = tmp_path / "pairs.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_source_with_several_answers_is_on_one_side_with_all_of_them(tmp_path):
    rows = [(f"Word {k} now", f"词{k}{end}", "origin") for k in range(40) for end in "甲乙"]
    made = pairs.read(file(tmp_path, lines(*rows, *rows[:9], ("WORD  3 now", "词3丙"))))
    sources = {pair.source for pair in made.train}
    assert len(made.test) == 4 and not sources & {one.source for one in made.test} and len(sources) == 36
    assert all(len(one.answers) == 2 + (one.source[1] == "3") for one in made.test)
    assert len(made.train) == 81 - sum(len(one.answers) for one in made.test)
    assert made.said.words[:2] == ["<unk>", pairs.MARK] and "origin" not in made.said


@pytest.mark.parametrize("content, said", [
    ("a b\t甲\nno tab here\n", "line 2 has no tab"), ("a\t\n", "the answer in line 1 has no word"),
    ("\t甲\n", "the source in line 1 has no word"), ("a " * 101 + "\t甲\n", "the source in line 1 has 101 words"),
    ("a\t" + "甲" * 101 + "\n", "the answer in line 1 has 101 words"), ("", "has 0 different sources"),
    ("a\t甲\nb\t乙\n", "has 2 different sources, and 10 are the least"),
    ("a\t甲\n".encode("gbk"), "is not text in UTF-8: line 1"), (b"a\t\0\n", "holds a null character"),
])  # fmt: skip
def test_a_file_that_is_nearly_right_is_one_sentence(content, said, tmp_path, shared):
    path = file(tmp_path, content)
    status, output = run_here(lab, ["--pairs", str(path), *TINY], shared, tmp_path / "runs")
    assert status == 2 and said in output and "Traceback" not in output, output


def test_a_mark_in_front_and_the_line_ends_of_windows_do_no_harm(tmp_path):
    path = file(tmp_path, b"\xef\xbb\xbf" + "Hi.\t嗨。\tCC-BY\r\n\r\nRun!\t你用跑的。\r\n".encode())
    assert pairs.read_pairs(path) == [pairs.Pair(("hi", "."), ("嗨", "。")),
                                       pairs.Pair(("run", "!"), tuple("你用跑的。"))]  # fmt: skip


def test_batches_have_sources_of_one_length_and_answers_shifted_by_one():
    made = corpus.draw("dates", 0)
    batches, other = pairs.Batches(made, 16, 0), pairs.Batches(made, 16, 0)
    for step in (0, 3, 400):
        source, given, wanted = batches(step)
        assert all(torch.equal(one, two) for one, two in zip(batches(step), other(step)))
        assert (given[0] == pairs.END).all() and torch.equal(given[1:], wanted[:-1])
        days = [corpus.written("dates", pairs.in_words(column.tolist(), made.said)) for column in wanted.t()]
        texts = ["".join(made.known.words[k] for k in column) for column in source.t().tolist()]
        for written, day in zip(texts, days):
            ways = drawn.ways(drawn.datetime.date(*map(int, day.split("-"))))
            assert written in ways["en"] + ways["zh"]


def test_answers_of_other_lengths_are_filled_with_what_is_not_counted():
    given, wanted = pairs.in_columns([[5, 1], [6, 7, 8, 1]])
    assert wanted.t().tolist() == [[5, 1, -1, -1], [6, 7, 8, 1]]
    assert given.t()[0, :2].tolist() == [1, 5] and given.t()[1].tolist() == [1, 6, 7, 8] and int(given.min()) >= 0


@pytest.mark.parametrize("answer, text", [
    (("我", "爱", "你", "。"), "我爱你。"), (("tom", "在", "波", "士", "顿", "。"), "tom在波士顿。"),
    (("see", "you", "."), "see you ."), ((), ""),
])  # fmt: skip
def test_answers_as_people_write_them(answer, text):
    assert corpus.written("translation", answer) == text and corpus.written("dates", answer) == "".join(answer)


def test_scores_by_length():
    made = corpus.draw("reversal", 0)
    right = [Answer(one.answers[0]) for one in made.test]
    assert scores.score(made.test, right)[1:] == (1.0, pytest.approx(100))
    wrong = [Answer(one.source) if len(one.source) > 12 else answer for one, answer in zip(made.test, right)]
    assert scores.between(made, wrong, 3, 12).right == 1 and scores.between(made, wrong, 13, 26).right < 0.1
    assert sum(scores.between(made, right, *group).asked for group in scores.GROUPS["reversal"]) == len(made.test)


# ---- runs ----


@pytest.mark.parametrize("words, stop_at", [
    (["--task", "dates", "--forcing", "0.5", *TINY], 11), (["--task", "translation", "--sample", *TINY], 6),
], ids=["dates", "translation"])  # fmt: skip
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(words, stop_at, shared, tmp_path):
    assert_resumes_exactly(lab, [*words, "--save-every", "1000"], stop_at, shared, tmp_path)


@pytest.fixture(scope="module")
def trained(shared, tmp_path_factory):
    """The runs folder of a short training of translation, and its checkpoint."""
    runs = tmp_path_factory.mktemp("runs")
    kinds = ["--attention", "none,additive", "--context", "last,mean"]
    status, said = run_here(lab, ["--task", "translation", "--sample", *kinds, *TINY, "--beam", "2"], shared, runs)
    assert status == 0, said
    return runs, newest(lab, runs) / "checkpoints" / "last.pt"


def test_the_report(trained):
    folder = newest(lab, trained[0])
    found = summary(folder)["metrics"]
    names = {f"{attention}-{context}" for attention in ("none", "additive") for context in ("last", "mean")}
    assert {f"translation_bleu/{name}" for name in names} | {"translation_right", "translation_bleu",
                                                            "translation_long_bleu"} <= set(found)  # fmt: skip
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {"translation_lengths", "translation_maps"}
    rows = json.loads((folder / "tables" / "translation_search.json").read_text())["rows"]
    assert [row[0] for row in rows] == [1, 2]
    assert len(json.loads((folder / "tables" / "translation_scores.json").read_text())["rows"]) == 4


def test_a_sentence_of_the_users_own(trained, shared):
    status, said = run_here(lab, ["--predict", "I want two red unicorns."], shared, trained[0])
    assert status == 0 and "read as <unk>: unicorns" in said and "none-mean" in said, said
    assert "what additive-mean looked at:" in said and "i want two red unicorns ." in said
    folder = newest(lab, trained[0])
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {"map"}


def test_a_map_in_letters_has_a_row_for_each_word_and_a_column_for_each_of_the_source():
    weights = torch.tensor([[1.0, 0.0], [0.1, 0.9], [0.5, 0.5]])
    assert own.drawn(["love", "我"], Answer(("爱", "me"), weights)) == [
        "     love 我", "爱   ████ ··  love 100%", "me   ···· ██  我 90%", "end  ▒▒▒▒ ▒▒  love 50%"]  # fmt: skip


@pytest.mark.parametrize(
    "sentence, words",
    [("", "has no word"), ("  \t", "has no word"), ("word " * 500, "has 500 words, and 100 are the most"),
     ("Quidquid latine", "knows none of its words: quidquid, latine")],
)  # fmt: skip
def test_a_sentence_that_is_none_is_one_sentence(sentence, words, trained, shared):
    status, said = run_here(lab, ["--predict", sentence], shared, trained[0])
    assert status == 2 and words in said and "Traceback" not in said, said


def test_a_sentence_before_any_training_is_one_sentence(trained, shared, tmp_path):
    status, said = run_here(lab, ["--predict", "I love you"], shared, tmp_path / "runs")
    assert status == 2 and "no network has been trained yet" in said
    status, said = run_here(lab, ["--predict", "I love you", "--task", "dates"], shared, trained[0])
    assert status == 2 and "no network has been trained on dates yet" in said
    status, said = run_here(
        lab, ["--predict", "I", "--task", "dates", "--checkpoint", str(trained[1])], shared, tmp_path
    )
    assert status == 2 and "holds no network for dates" in said


@pytest.mark.parametrize("change, words", [
    (lambda s: s["state"]["translation"].update(known=s["state"]["translation"]["known"][:-3]),
     "weights do not fit its vocabulary"),
    (lambda s: s["state"]["translation"].update(said=["<unk>", "a"]), "holds no vocabulary"),
    (lambda s: s["state"]["translation"].update(said="abc"), "holds no vocabulary"),
    (lambda s: s["state"].pop("translation"), "does not fit this version"),
    (lambda s: s["config"].update(hidden=8), "weights do not fit"),
    (lambda s: s["config"].update(attention="cnn"), "does not fit this version"),
    (lambda s: s["state"].update(finished=[]), "holds no network for any task"),
    (lambda s: s["state"].update(finished=3), "does not fit this version"),
    (lambda s: s.update(lab="mnist"), "of the lab mnist"),
], ids=range(9))  # fmt: skip
def test_another_checkpoint_is_one_sentence(change, words, trained, shared, tmp_path):
    saved = compat.load(trained[1])
    change(saved)
    compat.save(saved, tmp_path / "other.pt")
    status, said = run_here(lab, ["--predict", "I", "--checkpoint", str(tmp_path / "other.pt")], shared, tmp_path)
    assert status == 2 and words in said and "Traceback" not in said, said


@pytest.mark.parametrize("words, said_of", [
    (["--attention", "dott"], "did you mean dot?"), (["--attention", ","], "names nothing"),
    (["--context", "first"], "there is no first"), (["--hidden", "7"], "must be even"),
    (["--forcing", "2"], "--forcing must be at most 1"), (["--task", "date"], "did you mean dates?"),
    (["--pairs", "/no/such/file.txt"], "there is no file"), (["--beam", "101"], "must be at most 100"),
    (["--predict", "I", "--task", "claims"], "has no answer"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(words, said_of, tmp_path):
    status, said = run_here(lab, words, tmp_path, tmp_path)
    assert status == 2 and said_of in said and "Traceback" not in said, said


def test_pairs_are_for_the_translation(tmp_path):
    with pytest.raises(UserError, match="--pairs is for the task translation"):
        Config(task="dates", pairs="a")
    assert Config(pairs="a").task == "translation" and not Config(pairs="a").trains
    assert Config().task == "reversal" and not Config().trains and Config(task="all").trains
    assert Config(predict="I").task is None
    assert Config(dropout=0.3, steps=7).sizes("translation") == Sizes(7, 40, 128, 256, 0.002, 0.3, 0.1)
    assert Config(dropout=0.3).sizes("dates").dropout == 0


def test_the_whole_lab_and_its_report(shared, tmp_path):
    status, said = run_here(lab, ["--smoke", "--task", "all"], shared, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {
        f"{task}_{what}" for task in config.TASKS for what in ("lengths", "maps")
    }


def test_a_network_has_no_weights_that_it_does_not_use():
    for kind in oracles.all_kinds():
        made = Seq2Seq(7, 8, kind, Sizes(1, 1, 4, 6, 0.1))
        given, wanted = pairs.in_columns([[3, 4, 1], [5, 1]])
        pairs.loss_of(made((torch.tensor([[1, 2], [3, 4]]), given)), wanted).backward()
        assert all(weight.grad is not None for weight in made.parameters()), kind
