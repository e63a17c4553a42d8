"""The lab transformer: what is equal to what, what a mistake changes, what is drawn and read, and its runs."""

from __future__ import annotations

import json

import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary
from torch.nn import functional as F

from labkit.base.errors import UserError
from labkit.runs import compat, muon, pairs
from labs.transformer import (
    attention,
    characters,
    lab,
    length,
    lessons,
    networks,
    oracles,
    positions,
    translation,
)
from labs.transformer import training as trainings
from labs.transformer.config import Config, Sizes

TINY = ["--steps", "6", "--width", "16", "--layers", "1", "--heads", "2", "--batch-size", "8"]
SIZES = Sizes(1, 1, 16, 2, 2, 0.01)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


# ---- what is equal to what ----


@pytest.mark.parametrize("claim", oracles.CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_holds(claim):
    assert claim.difference() <= claim.most


def test_what_pytorch_has_is_compared():
    names = {claim.name for claim in oracles.CLAIMS}
    assert compat.MODERN == ("fused" in names) == ("encoder layer, pre-norm" in names)


def test_scores_that_are_not_divided_are_noticed(monkeypatch):
    monkeypatch.setattr(oracles, "attend", lambda q, k, v, mask=None: attention.attend(q * 1.01, k, v, mask))
    assert oracles.heads() > 1e-4 and oracles.whole() > 1e-4


def test_a_mask_that_lets_one_word_of_the_future_through_is_noticed(monkeypatch):
    def leaks(t, before=0, device=None):
        return torch.ones(t, before + t, dtype=torch.bool, device=device).tril(before + 1)

    monkeypatch.setattr(networks, "past", leaks)
    assert oracles.future() > 1e-6 and oracles.kept() > 1e-6


def test_a_mask_without_padding_is_noticed(monkeypatch):
    monkeypatch.setattr(oracles, "words_of", lambda lengths, t: torch.ones(len(lengths), 1, 1, t, dtype=torch.bool))
    assert oracles.padding() > 1e-3


def test_places_that_begin_anew_with_a_cache_are_noticed(monkeypatch):
    real = positions.angles
    monkeypatch.setattr(positions, "angles", lambda places, *rest: real(places - places[..., :1], *rest))
    assert oracles.kept() > 1e-3


def test_a_rotation_the_other_way_round_is_noticed(monkeypatch):
    real = positions.rotation
    monkeypatch.setattr(positions, "rotation", lambda k, size: real(-k, size))
    assert oracles.as_rotation() > 0.1


def test_a_claim_that_does_not_hold_ends_the_run(monkeypatch, shared, tmp_path):
    wrong = oracles.CLAIMS[0]._replace(difference=lambda: 1.0)
    monkeypatch.setattr(lessons, "CLAIMS", (wrong,))
    status, said = run_here(lab, ["--part", "attention"], shared, tmp_path)
    assert status == 1 and "heads: 1.0 is more than" in said, said


def test_the_fused_attention_is_taken_where_there_is_one():
    q = torch.randn(2, 3, 5, 4)
    assert (attention.FUSED is not None) == compat.MODERN
    found = attention.attend_fast(q, q, q, attention.past(5))
    assert torch.allclose(found, attention.attend(q, q, q, attention.past(5)), atol=1e-6)


def test_variances_and_entropies_of_scores():
    for width in (4, 1024):
        raw, divided, sharp, soft = lessons.spread(width)
        assert raw == pytest.approx(width, rel=0.25) and divided == pytest.approx(1, rel=0.25)
        assert 3.4 < soft < 3.9
    assert sharp < 0.2


def test_what_is_kept_is_what_was_read():
    made = oracles.readers()["rotary"]
    cache = made.empty()
    made(oracles.words(), cache=cache)
    assert [part[0].shape[2] if part else 0 for part in cache] == [oracles.T, 0, oracles.T, 0]
    made(oracles.words()[:, :1], cache=cache)
    assert cache[0][0].shape == (oracles.N, oracles.H, oracles.T + 1, oracles.D // oracles.H)


def test_words_written_with_the_cache_are_those_without():
    for name, made in oracles.readers().items():
        first = oracles.words(3)
        said = networks.write(made, first, 10)
        assert torch.equal(said, lessons.anew(made, first, 10)), name


# ---- places and strings ----


def test_places_that_are_drawn():
    random = torch.Generator().manual_seed(0)
    drawn = positions.drawn("randomised", 500, 25, random)
    assert drawn.shape == (500, 25) and int(drawn.min()) == 0 and int(drawn.max()) == positions.MOST - 1
    assert bool((drawn[:, 1:] > drawn[:, :-1]).all())
    offset = positions.drawn("offset", 500, 25, random)
    assert bool((offset[:, 1:] - offset[:, :-1] == 1).all()) and int(offset.min()) == 0
    assert int(offset.max()) == positions.MOST - 1 and len(offset[:, 0].unique()) == positions.MOST - 24
    assert positions.drawn("rotary", 500, 25, random).tolist() == list(range(25))
    even = positions.judged("randomised", 49)
    assert len(even.unique()) == 49 and (int(even[0]), int(even[-1])) == (0, 63)
    assert positions.judged("learned", 3).tolist() == [0, 1, 2]


def test_relative_places_see_the_distance_alone():
    made = positions.Relative(2)
    made.bias.data.copy_(torch.arange(2.0 * 33).reshape(2, 33))
    found = made(torch.arange(40), torch.arange(40))
    assert found.shape == (2, 40, 40) and found[0, 39, 0] == 32 and found[1, 5, 2] == 33 + 3 and found[0, 2, 5] == 0


def test_a_string_and_its_copy():
    drawn = torch.tensor([[1, 2, 3]])
    assert length.asked(drawn).tolist() == [[1, 2, 3, 10]] and length.copied(drawn).tolist() == [[1, 2, 3, 10, 1, 2]]

    class Copies(torch.nn.Module):
        """Says the digit that stands n places back, where n = 5."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, words, places, cache=None):
            cache[:] = [torch.cat([*cache, words], dim=1)]
            back = cache[0][:, [max(0, place - 5) for place in places.tolist()]]
            return F.one_hot(back, length.SYMBOLS + 1).float()

        def empty(self):
            return []

    assert length.judge(Copies(), "none", 5) == (1.0, 1.0)
    symbols, whole = length.judge(Copies(), "none", 6)
    assert symbols < 0.3 and whole == 0


def test_the_loss_of_a_copy_is_of_what_is_said():
    drawn = torch.tensor([[1, 2, 3], [4, 5, 6]])
    made = length.build("sinusoidal", SIZES)
    logits = made(length.copied(drawn))
    random = torch.Generator().manual_seed(0)
    assert torch.allclose(length.loss_of(made, drawn, "sinusoidal", random),
                          F.cross_entropy(logits[:, 3:].reshape(6, -1), drawn.flatten()))  # fmt: skip


# ---- trainings ----


def test_the_learning_rate_rises_and_falls():
    rates = [trainings.rate(step, 100) for step in range(100)]
    assert rates[4] == 1 == max(rates) and rates[0] == 0.2 and rates[99] == pytest.approx(1 / 95)
    assert trainings.rate(0, 1) == 1


def test_muon_has_the_matrices_of_the_layers_and_no_others():
    play = characters.Play(list("abc"), torch.zeros(3000, dtype=torch.int64))
    one, other = characters.trainings(Config(part="characters", recipe="modern,plain", width=16, heads=2), play, 0)
    made = one.network()
    rest, matrices = one.optimizers(made)
    assert isinstance(matrices, muon.Muon) and {weight.dim() for weight in matrices.param_groups[0]["params"]} == {2}
    assert len(matrices.param_groups[0]["params"]) == 4 * 4 and not matrices.keep_length
    assert {id(w) for w in made.words.parameters()} <= {id(w) for w in rest.param_groups[0]["params"]}
    assert len(other.optimizers(other.network())) == 1


def test_a_step_of_muon_for_matrices_is_the_formula():
    weight, gradient = torch.nn.Parameter(torch.randn(8, 4)), torch.randn(8, 4)
    before = weight.detach().clone()
    optimizer = muon.Muon([weight], lr=0.1, momentum=0.9, steps=5, keep_length=False)
    weight.grad = gradient
    optimizer.step()
    update = muon.orthogonalise(1.9 * gradient, 5)
    assert torch.allclose(weight, before - 0.1 * 2**0.5 * update, atol=1e-6)


def test_each_network_uses_all_of_its_weights():
    for name, made in oracles.readers().items():
        made(oracles.words()).double().square().sum().backward()
        unused = [key for key, weight in made.named_parameters() if weight.grad is None]
        assert not unused, name
    made = oracles.translator()
    made(oracles.words(5), oracles.words()).sum().backward()
    assert all(weight.grad is not None for weight in made.parameters())


# ---- texts ----


def test_a_text_and_its_windows(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"abcd\r\n" * 600)
    play = characters.of_text(path, "")
    assert play.letters == ["\n", "a", "b", "c", "d"] and len(play.numbers) == 5 * 600 - 1
    inputs, targets = characters.windows(play, torch.tensor([0, 7]))
    assert inputs.shape == (2, characters.T) and torch.equal(inputs[:, 1:], targets[:, :-1])
    assert inputs[1, :3].tolist() == [3, 4, 0]
    made = characters.build(5, SIZES, "plain")
    assert characters.held_out(made, play) == pytest.approx(1.7, abs=0.7)


def test_what_is_written_follows_from_the_seed_and_goes_beyond_a_window():
    made = characters.build(5, SIZES, "modern")
    torch.nn.init.normal_(made.output.weight)
    first = torch.tensor([1, 2, 3])
    one = characters.write(made, first, characters.T + 20, 1.0, 3)
    assert one == characters.write(made, first, characters.T + 20, 1.0, 3) and len(one) == characters.T + 20
    assert one != characters.write(made, first, characters.T + 20, 1.0, 4)
    cold = characters.write(made, first, 20, 1e-6, 0)
    assert cold == networks.write(made, first[None], 20)[0].tolist()


@pytest.mark.parametrize("content, said", [
    (b"", "has 0 characters, and 2,560 are the least"), (b"a" * 2559, "has 2,559 characters, and 2,560 are the least"),
    (b"a\0b" * 3000, "holds a null character"), ("北京\n".encode("gbk") * 3000, "not text in UTF-8: line 1"),
    ("".join(map(chr, range(0x4E00, 0x4E00 + 5001))), "has 5,001 different characters, and 5,000 are the most"),
])  # fmt: skip
def test_a_text_that_is_none_or_too_short_is_one_sentence(content, said, tmp_path, shared):
    (tmp_path / "text.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    status, output = run_here(lab, ["--text", str(tmp_path / "text.txt"), *TINY], shared, tmp_path)
    assert status == 2 and said in output and "Traceback" not in output, output


def test_a_huge_text_says_what_it_would_take(tmp_path, shared):
    with (tmp_path / "huge.txt").open("wb") as stream:
        stream.truncate(1 << 30)  # a gigabyte that takes no room
    status, output = run_here(lab, ["--text", str(tmp_path / "huge.txt")], shared, tmp_path)
    assert status == 2 and "has 1,024 MB, of which one epoch takes about" in output and "8 MB are the most" in output
    status, output = run_here(lab, ["--pairs", str(tmp_path / "huge.txt")], shared, tmp_path)
    assert status == 2 and "has more than 64 MB" in output and "Traceback" not in output


def test_pairs_of_the_users_own(tmp_path, shared):
    rows = [f"Word {k} now\t词{k}。" for k in range(40)]
    (tmp_path / "pairs.txt").write_text("\n".join(rows * 2), encoding="utf-8")
    status, said = run_here(lab, ["--pairs", str(tmp_path / "pairs.txt"), *TINY], shared, tmp_path)
    assert status == 0 and "BLEU" in said, said
    (tmp_path / "pairs.txt").write_text("no tab here\n", encoding="utf-8")
    status, said = run_here(lab, ["--pairs", str(tmp_path / "pairs.txt"), *TINY], shared, tmp_path)
    assert status == 2 and "line 1 has no tab" in said and "Traceback" not in said


# ---- runs ----


@pytest.mark.parametrize("words, stop_at", [
    (["--schemes", "randomised,gru"], 9), (["--part", "translation", "--sample", "--shared", "--norm", "post"], 4),
    (["--part", "characters", "--sample", "--recipe", "modern,plain"], 8), (["--part", "characters", "--sample"], 3),
], ids=["length", "translation", "characters", "muon"])  # fmt: skip
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(words, stop_at, shared, tmp_path):
    assert_resumes_exactly(lab, [*words, *TINY, "--save-every", "1000"], stop_at, shared, tmp_path)


@pytest.fixture(scope="module")
def learned(shared, tmp_path_factory):
    """The runs folder of a short training of each part that answers, and their checkpoints."""
    runs, found = tmp_path_factory.mktemp("runs"), {}
    for part in ("translation", "characters"):
        status, said = run_here(lab, ["--part", part, "--sample", *TINY], shared, runs)
        assert status == 0, said
        found[part] = newest(lab, runs) / "checkpoints" / "last.pt"
    return runs, found


def test_the_reports(learned):
    tables = {"translation": {"pairs", "translation", "answers"}, "characters": {"characters", "written"}}
    for part, path in learned[1].items():
        folder = path.parent.parent
        assert {table.stem for table in (folder / "tables").glob("*.json")} == tables[part]
        assert {plot.stem for plot in (folder / "plots").glob("*.png")} == {part}
    assert {"translation_bleu", "translation_right", "translation_long_bleu"} <= set(
        summary(learned[1]["translation"].parent.parent)["metrics"]
    )


def test_a_sentence_of_the_users_own_is_translated(learned, shared):
    status, said = run_here(lab, ["--predict", "I want two red unicorns.", "--part", "translation"], shared, learned[0])
    assert status == 0 and "read as <unk>: unicorns" in said and "translation, by the network of" in said, said


def test_a_beginning_of_the_users_own_is_written_on(learned, shared):
    words = ["--predict", "I have seen", "--count", "40"]
    status, said = run_here(lab, words, shared, learned[0])  # the newest run is of characters
    assert status == 0 and "characters, by the network of" in said and "I have seen" in said, said
    rows = json.loads((newest(lab, learned[0]) / "tables" / "written.json").read_text())["rows"]
    assert rows[0][0] == "I have seen" and len(rows[0][1]) == 40
    assert run_here(lab, words, shared, learned[0])[0] == 0
    assert json.loads((newest(lab, learned[0]) / "tables" / "written.json").read_text())["rows"] == rows


@pytest.mark.parametrize("part, sentence, said", [
    ("translation", "", "has no word"), ("translation", " \t", "has no word"),
    ("translation", "word " * 500, "has 500 words, and 100 are the most"),
    ("translation", "Quidquid latine", "knows none of its words: quidquid, latine"),
    ("characters", "", "no character to go on from"), ("characters", "北京²", "has no '北', '京', '²'"),
    ("characters", "a" * 10_001, "has 10,001 characters"), ("length", "123", "the part length answers nothing"),
])  # fmt: skip
def test_a_sentence_that_is_none_is_one_sentence(part, sentence, said, learned, shared):
    status, output = run_here(lab, ["--predict", sentence, "--part", part], shared, learned[0])
    assert status == 2 and said in output and "Traceback" not in output, output


def test_a_sentence_before_any_training_is_one_sentence(learned, shared, tmp_path):
    status, said = run_here(lab, ["--predict", "I love you"], shared, tmp_path / "runs")
    assert status == 2 and "no network has been trained on translation or characters yet" in said
    words = ["--predict", "I", "--part", "characters", "--checkpoint", str(learned[1]["translation"])]
    status, said = run_here(lab, words, shared, tmp_path)
    assert status == 2 and "holds no network for characters" in said


CHANGES = [
    ("translation", lambda s: s["state"]["translation"].update(known=s["state"]["translation"]["known"][:-3]),
     "weights do not fit its vocabulary"),
    ("translation", lambda s: s["state"]["translation"].update(said=["<unk>", "a"]), "holds no vocabulary"),
    ("translation", lambda s: s["state"].pop("translation"), "holds no words"),
    ("translation", lambda s: s["config"].update(width=32), "weights do not fit"),
    ("translation", lambda s: s["config"].update(heads=5), "not a multiple"),
    ("translation", lambda s: s["state"].update(finished=[]), "holds no network for translation"),
    ("translation", lambda s: s["state"].update(finished=3), "does not fit this version"),
    ("translation", lambda s: s.update(lab="mnist"), "of the lab mnist"),
    ("characters", lambda s: s["state"]["characters"].update(letters=s["state"]["characters"]["letters"][1:]),
     "weights do not fit its vocabulary"),
    ("characters", lambda s: s["state"]["characters"].update(letters="abc"), "holds no letters"),
    ("characters", lambda s: s["config"].update(width=32), "weights do not fit"),
    ("characters", lambda s: s["config"].update(layers=2), "weights do not fit"),
]  # fmt: skip


@pytest.mark.parametrize("part, change, said", CHANGES, ids=range(len(CHANGES)))
def test_another_checkpoint_is_one_sentence(part, change, said, learned, shared, tmp_path):
    saved = compat.load(learned[1][part])
    change(saved)
    compat.save(saved, tmp_path / "other.pt")
    words = ["--predict", "I", "--part", part, "--checkpoint", str(tmp_path / "other.pt")]
    status, output = run_here(lab, words, shared, tmp_path)
    assert status == 2 and said in output and "Traceback" not in output, output


@pytest.mark.parametrize("words, said_of", [
    (["--schemes", "rotaryy"], "did you mean rotary?"), (["--schemes", ","], "names nothing"),
    (["--recipe", "old"], "there is no old"), (["--width", "30"], "--width 30 is not a multiple of twice --heads 4"),
    (["--part", "lenght"], "did you mean length?"), (["--pairs", "/no/such/file.txt"], "there is no file"),
    (["--text", "/no/such/file.txt"], "there is no file"), (["--heads", "²"], "--heads"), (["--norm", "mid"], "--norm"),
    (["--temperature", "0"], "--temperature"), (["--count", "100000"], "at most 10,000"), (["--steps", "0"], "--steps"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(words, said_of, tmp_path):
    status, said = run_here(lab, words, tmp_path, tmp_path)
    assert status == 2 and said_of in said and "Traceback" not in said, said


def test_options_that_are_left_out_follow():
    assert Config().part == "length" and not Config().trains and Config(predict="I").part is None
    assert Config(pairs="a").part == "translation" and not Config(pairs="a").trains
    assert Config(text="a").part == "characters" and not Config(text="a").trains
    assert Config(part="characters").dataset == "shakespeare" and Config(part="characters").trains
    assert Config(part="all").trains and not Config(part="all").wants("characters")
    assert Config().sizes("length", "randomised").steps > Config().sizes("length", "none").steps
    assert Config(steps=7).sizes("length", "randomised").steps == 7
    with pytest.raises(UserError, match="--text is for the part characters"):
        Config(part="length", text="a")


def test_the_translation_ends_and_has_no_unknown_words():
    made = oracles.translator()
    made.bias.data[0] = 100.0  # <unk> would be the likeliest
    said = pairs.Vocabulary([pairs.MARK, *"abcdefghi"])
    known = pairs.Vocabulary("abcdefghij")
    sources = [tuple("abc"), tuple("jihgf"), tuple("a"), tuple("bca")]
    found = translation.answers(made, sources, known, said)
    assert all(not {"<unk>", pairs.MARK} & set(words) for words in found)
    assert all(len(words) <= pairs.most_words(len(source)) for words, source in zip(found, sources))
    assert [translation.answers(made, [source], known, said)[0] for source in sources] == found


def test_the_whole_lab_and_its_report(shared, tmp_path):
    status, said = run_here(lab, ["--smoke"], shared, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {
        "scale", "masks", "places", "costs", "lengths", "translation"
    }  # fmt: skip
    tables = {path.stem: json.loads(path.read_text())["rows"] for path in (folder / "tables").glob("*.json")}
    assert tables.keys() == {"claims", "cache", "lengths", "copies", "pairs", "translation", "answers"}
    assert all(row[-1]["en"] == "yes" for row in tables["cache"])
    assert len(tables["lengths"]) == 2 and len(tables["lengths"][0]) == 3 + len(length.JUDGED)
    assert summary(folder)["metrics"]["claims"] == len(oracles.CLAIMS)
