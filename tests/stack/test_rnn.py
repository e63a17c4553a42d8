"""The lab rnn: cells against torch.nn, scores against frozen ones, what is drawn, and its runs."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary
from torch import nn

from labkit.base.errors import UserError
from labkit.data import samples
from labkit.runs import compat, iob
from labs.rnn import (
    cells,
    characters,
    config,
    corpus,
    forms,
    gradients,
    grammar,
    lab,
    networks,
    oracles,
    own,
    training,
)

TINY = ["--networks", "lstm,bi-rnn", "--steps", "8", "--hidden", "6", "--embed", "4"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


# ---- cells ----


@pytest.mark.parametrize("claim", oracles.CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_of_the_cells_holds(claim):
    assert claim.difference() <= claim.most


def test_a_broken_cell_is_noticed(monkeypatch):
    monkeypatch.setattr(
        cells.LSTM, "look", lambda self, p, h: tuple(part.sigmoid() for part in (p + self.recurrent(h)).chunk(4, 1))
    )
    assert oracles.cell(cells.LSTM, nn.LSTM)() > 1e-3


def test_the_forget_bias_opens_the_forget_gate_alone():
    torch.manual_seed(0)
    plain = cells.LSTM(3, 4)
    torch.manual_seed(0)
    biased = cells.LSTM(3, 4, forget_bias=2.0)
    difference = (biased.bias_ih - plain.bias_ih).tolist()
    assert difference == pytest.approx([0] * 4 + [2] * 4 + [0] * 8) and torch.equal(biased.bias_hh, plain.bias_hh)


def test_units_of_a_clockwork_rest_between_their_times():
    made, x = cells.Clockwork(3, 8), torch.randn(9, 2, 3)
    outputs = torch.cat([torch.zeros(1, 2, 8), made(x)[0]])
    for t in range(9):
        for unit, period in enumerate((1, 1, 2, 2, 4, 4, 8, 8)):
            assert torch.equal(outputs[t + 1, :, unit], outputs[t, :, unit]) == (t % period != 0)
    assert (
        made.reads[0].tolist() == [1] * 8 and made.reads[7].tolist() == [0] * 6 + [1] * 2
    )  # the slow do not read the fast


def test_one_direction_knows_nothing_of_what_comes_later():
    torch.manual_seed(0)
    words = torch.randint(9, (6, 1))
    changed = words.clone()
    changed[4] = (words[4] + 1) % 9
    for name, same in (
        ("lstm", True),
        ("gru-2", True),
        ("grid", True),
        ("clockwork", True),
        ("bi-lstm", False),
        ("bi-rnn-2", False),
    ):
        network = networks.Tagger(name, 9, 5, 4, 6, 1.0).eval()
        assert torch.equal(network(words)[:4], network(changed)[:4]) == same, name


@pytest.mark.parametrize("name", ["lstm", "", "rnn-9", "bi", "bi-", "lstm-bi", "transformer"])
def test_names_of_networks(name):
    if name == "lstm":
        assert config.kind_of("bi-lstm-2") == ("lstm", True, 2) and config.kind_of(name) == ("lstm", False, 1)
    else:
        with pytest.raises(UserError, match="--networks"):
            config.kind_of(name)


# ---- what is drawn and how it is judged ----


def test_slots_are_counted_whole():
    tags = ["O", "B-to", "I-to", "B-to", "O", "I-date", "I-date", "B-from", "I-to"]
    assert iob.spans(tags) == {("to", 1, 3), ("to", 3, 4), ("date", 5, 7), ("from", 7, 8), ("to", 8, 9)}
    assert iob.spans([]) == set()
    true, guessed = [["B-to", "I-to", "O", "B-from"]], [["B-to", "O", "O", "B-from"]]
    assert iob.f1(true, guessed) == 0.5 and iob.f1(true, true) == 1 and iob.f1([["O"]], [["O"]]) == 0


def test_words_and_tags_of_a_drawn_sentence_belong_together():
    for new in (False, True):
        names = grammar.NEW_CITIES if new else grammar.CITIES
        cities = {" ".join(grammar.text.words(city)) for every in names.values() for city in every}
        for sentence in grammar.draw(400, 3, new_cities=new, new_templates=not new):
            assert len(sentence.words) == len(sentence.tags) and sentence.kind in grammar.KINDS
            for slot, first, behind in iob.spans(sentence.tags):
                assert slot == "date" or " ".join(sentence.words[first:behind]) in cities
    assert grammar.draw(50, 7) == grammar.draw(50, 7) != grammar.draw(50, 8)


def test_no_new_template_is_trained_on_and_all_their_words_are():
    made = corpus.booking(0, 0.5)
    for language, kinds in grammar.NEW_TEMPLATES.items():
        known = {one for templates in grammar.composed(language).values() for one in templates}
        known |= {one for templates in grammar.WRITTEN[language].values() for one in templates}
        assert not known & {one for templates in kinds.values() for one in templates}
    assert {word for one in made.tests["templates"] for word in one.words} <= set(made.vocabulary.words)
    trained = {one.words for one in made.train}
    assert all(one.words not in trained for tests in made.tests.values() for one in tests)
    cities = {word for city in grammar.NEW_CITIES["en"] for word in city.split()}
    assert not cities & {word for one in made.train for word in one.words}


@pytest.mark.parametrize(
    "number, characters", [(1, "一"), (10, "十"), (11, "十一"), (20, "二十"), (31, "三十一"), (99, "九十九")]
)
def test_numbers_in_chinese(number, characters):
    assert grammar.chinese(number) == characters


def test_hidden_slots_are_hidden_and_nothing_else_is_moved():
    made = corpus.booking(0, 0.5)
    plain, hiding = corpus.Batches(made, 32, 0, 0.0), corpus.Batches(made, 32, 0, 1.0)
    for step in (0, 5, 400):
        (words, tags), (hidden, same) = plain(step), hiding(step)
        assert torch.equal(tags, same) and torch.equal(hiding(step)[0], hidden)
        assert ((hidden == words) | (hidden == 0)).all()
    share = torch.cat([(hiding(k)[0] == 0)[plain(k)[1] == 1] for k in range(60)]).double().mean()
    assert 0.7 < float(share) < 0.9
    for column in range(3):
        row = int(plain.order[5][column])
        assert made.vocabulary.numbers(made.train[row].words) == plain(5)[0][:, column].tolist()


# ---- gradients, forms, characters ----


def test_the_gradient_by_distance_is_that_of_the_jacobians():
    torch.manual_seed(0)
    made, x = cells.SimpleRNN(3, 5).double(), torch.randn(6, 1, 3, dtype=torch.float64)
    found = gradients.by_distance(made, x, draws=4000)
    x.requires_grad_()
    outputs, _ = made(x)
    rows = [torch.autograd.grad(outputs[-1, 0, k], x, retain_graph=True)[0][:, 0] for k in range(5)]
    sizes = (torch.stack(rows) ** 2).sum(dim=(0, 2)).sqrt().flip(0)
    assert torch.allclose(found, sizes / sizes[0], rtol=0.1)


def test_an_lstm_forgets_as_fast_as_its_forget_gate_says():
    plain, one, three = (float(gradients.at_the_start(name, 0)[50]) for name in ("lstm", "lstm 1", "lstm 3"))
    assert plain < 1e-9 and 1e-7 < one < 1e-3 and three > 0.05
    assert float(gradients.at_the_start("rnn", 0)[50]) < 1e-9


def test_the_tasks_ask_for_what_they_say():
    x, first = gradients.recall(7, 0, 3)
    assert x.shape == (7, 64, 8) and torch.equal(x[0].argmax(dim=1), first)
    x, total = gradients.adding(9, 0, 3)
    assert torch.allclose((x[..., 0] * x[..., 1]).sum(dim=0), total) and (x[..., 1].sum(dim=0) == 2).all()
    assert (x[:4, :, 1].sum(dim=0) == 1).all() and torch.equal(gradients.adding(9, 0, 3)[0], x)


def test_a_writer_is_given_what_is_right_in_training_and_what_it_wrote_alone():
    targets = forms.written(["十一", "二"])
    assert targets.tolist() == [[10, 2], [1, 0], [0, -1]] and forms.before(targets).tolist() == [
        [0, 0],
        [10, 2],
        [1, 0],
    ]
    torch.manual_seed(0)
    writer = forms.Writer(forms.ReadNumber())
    source = torch.tensor([[1, 1], [0, 2]])
    answers = writer.write(source)
    given = forms.written(answers)
    logits = writer((source, forms.before(given))).argmax(dim=2)
    kept = given != training.NOTHING
    short = [k for k, answer in enumerate(answers) if len(answer) < forms.LONGEST]
    assert torch.equal(logits[:, short][kept[:, short]], given[:, short][kept[:, short]])


@pytest.mark.parametrize("pairs", [forms.numbers(), forms.dates()])
def test_what_judges_is_not_learned(pairs):
    learned, held = forms.divided(pairs)
    assert not set(learned) & set(held) and len(learned) + len(held) == len(pairs) and len(held) == len(pairs) // 5
    assert forms.Pair("november 2nd", "十一月二日") in forms.dates() and forms.Pair("23", "二十三") in forms.numbers()


def test_letters_are_drawn_as_the_temperature_says():
    torch.manual_seed(0)
    author = characters.Author(5)
    first = torch.tensor([1, 2])
    cold, again = (author.write(first, 30, 0.01, 0) for _ in range(2))
    outputs, _ = author.cell(author.embedding(first.reshape(-1, 1)))
    assert cold == again and cold[0] == int(author.output(outputs[-1, 0]).argmax())
    assert len(set(author.write(first, 200, 100.0, 0))) == 5


# ---- runs ----


@pytest.mark.parametrize("words, stop_at", [
    (TINY, 11), (["--part", "gradients", "--task-steps", "4", "--length", "5"], 13),
    (["--part", "adding", "--task-steps", "4", "--length", "5"], 18), (["--part", "forms", "--task-steps", "3"], 7),
    (["--part", "characters", "--sample", "--task-steps", "4"], 3),
], ids=["slots", "gradients", "adding", "forms", "characters"])  # fmt: skip
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(words, stop_at, shared, tmp_path):
    assert_resumes_exactly(lab, [*words, "--save-every", "1000"], stop_at, shared, tmp_path)


@pytest.fixture(scope="module")
def trained(shared, tmp_path_factory):
    """The runs folder of a short training of slots, and its checkpoint."""
    runs = tmp_path_factory.mktemp("runs")
    status, said = run_here(lab, TINY, shared, runs)
    assert status == 0, said
    return runs, newest(lab, runs) / "checkpoints" / "last.pt"


def test_the_report_of_the_slots(trained):
    folder = newest(lab, trained[0])
    found = summary(folder)["metrics"]
    assert {
        "slots_f1",
        "slots_f1/lstm",
        "slots_f1/bi-rnn",
        "cities_f1",
        "templates_f1",
        "both_f1",
        "one_way_after_f1",
    } <= set(found)
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {"kinds", "gates"}
    rows = json.loads((folder / "tables" / "slots.json").read_text())["rows"]
    assert len(rows) == 2 and len(rows[0]) == 3 + 10


def test_a_sentence_of_the_users_own(trained, shared):
    status, said = run_here(lab, ["--predict", "Leave Ulaanbaatar on November 2nd"], shared, trained[0])
    assert status == 0 and "ulaanbaatar" in said and "read as <unk>: ulaanbaatar" in said and "slots: " in said
    status, said = run_here(lab, ["--predict", "十一月二日北京出发"], shared, trained[0])
    assert status == 0 and "  京" in said and "not in the vocabulary" not in said


@pytest.mark.parametrize(
    "sentence, words",
    [("", "has no word"), ("  \t", "has no word"), ("word " * 500, "has 500 words, and 200 are the most")],
)
def test_a_sentence_that_is_none_is_one_sentence(sentence, words, trained, shared):
    status, said = run_here(lab, ["--predict", sentence], shared, trained[0])
    assert status == 2 and words in said and "Traceback" not in said


def test_a_sentence_before_any_training_is_one_sentence(tmp_path):
    status, said = run_here(lab, ["--predict", "leave beijing"], tmp_path, tmp_path / "runs")
    assert status == 2 and "no network has been trained yet" in said and "Traceback" not in said


@pytest.mark.parametrize("change, words", [
    (lambda s: s["state"].update(words=s["state"]["words"][:-3]), "weights do not fit its vocabulary"),
    (lambda s: s["state"].update(words="abc"), "holds no vocabulary"),
    (lambda s: s["state"].pop("tags"), "does not fit this version"),
    (lambda s: s["config"].update(hidden=5), "weights do not fit"),
    (lambda s: s["config"].update(networks="cnn"), "does not fit this version"),
    (lambda s: s["state"].update(finished=[]), "holds no network that fills slots"),
    (lambda s: s.update(lab="mnist"), "of the lab mnist"),
], ids=range(7))  # fmt: skip
def test_another_checkpoint_is_one_sentence(change, words, trained, shared, tmp_path):
    saved = compat.load(trained[1])
    change(saved)
    compat.save(saved, tmp_path / "other.pt")
    status, said = run_here(
        lab, ["--predict", "leave beijing", "--checkpoint", str(tmp_path / "other.pt")], shared, tmp_path
    )
    assert status == 2 and words in said and "Traceback" not in said, said


@pytest.mark.parametrize("words, said_of", [
    (["--networks", "bi-lstn"], "did you mean bi-lstm?"), (["--networks", ","], "names no network"),
    (["--dataset", "shakespeare"], "--part slots does not read shakespeare"), (["--hide", "2"], "are shares"),
    (["--part", "characters", "--dataset", "snips"], "does not read snips"), (["--part", "slot"], "did you mean slots?"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(words, said_of, tmp_path):
    status, said = run_here(lab, words, tmp_path, tmp_path)
    assert status == 2 and said_of in said and "Traceback" not in said, said


def test_the_whole_lab_and_its_report(shared, tmp_path):
    status, said = run_here(lab, ["--smoke", "--part", "all"], shared, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {
        "kinds",
        "gates",
        "shapes",
        "fading",
        "recall",
        "adding",
        "clipping",
    }


# ---- the data set in files ----


def write(folder, split, lines, tags):
    (folder / split).mkdir(parents=True, exist_ok=True)
    for name, content in (("seq.in", lines), ("seq.out", tags)):
        (folder / split / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def test_the_sample_of_snips_is_read_and_learned_from(shared, tmp_path):
    status, said = run_here(lab, ["--sample", "--dataset", "snips", *TINY], shared, tmp_path)
    assert status == 0 and "test_f1" in said, said
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_DATA", str(shared))
        made = corpus.read(samples.locate("snips", sample=True).path, "snips")
    assert [len(made.train), *map(len, made.tests.values())] == [1200, 100, 100] and len(made.tags) == 1 + 13


@pytest.mark.parametrize("lines, tags, said", [
    ("a b\nc\n", "O O\n", "has 2 lines in seq.in and 1 in seq.out"), ("a b\n", "O\n", "line 1 has 2 words and 1 tags"),
    ("a b\n", "O to\n", "line 1 has the tag 'to'"), ("", "", "holds no sentence"), ("\n\n", "\n\n", "holds no sentence"),
    ("a " * 201 + "\n", "O " * 201 + "\n", "line 1 has 201 words, more than 200"),
    ("北京\n".encode("gbk"), "O\n", "not text in UTF-8: line 1"),
])  # fmt: skip
def test_a_file_that_is_nearly_right_is_one_sentence(lines, tags, said, tmp_path):
    write(tmp_path, "train", lines, tags)
    with pytest.raises(UserError) as caught:
        corpus.read_split(tmp_path / "train", "snips")
    assert said in caught.value.message


def test_a_mark_in_front_and_the_line_ends_of_windows_do_no_harm(tmp_path):
    write(tmp_path, "train", b"\xef\xbb\xbfplay it\r\nstop\r\n", b"O B-what\r\nO\r\n")
    assert corpus.read_split(tmp_path / "train", "snips") == [
        grammar.Sentence(("play", "it"), ("O", "B-what")), grammar.Sentence(("stop",), ("O",))]  # fmt: skip


def test_options_that_are_left_out_follow_from_the_part():
    assert config.Config().dataset == "booking" and not config.Config().trains
    assert config.Config(part="characters").dataset == "shakespeare" and config.Config(part="characters").trains
    assert dataclasses.replace(config.Config(), dataset="snips").trains
    assert own.read("十一月") == ["十", "一", "月"]
