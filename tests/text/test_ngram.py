"""The n-gram model against its own definition, and its files."""

import gzip
import itertools
import math
from pathlib import Path

import pytest

from tiny_audio.errors import NGramError
from tiny_audio.text.arpa import read_arpa, write_arpa
from tiny_audio.text.ngram import END, START, NGram

TEXTS = ["a b a b", "a b c", "b b", "", "c a"]
TOKENS = [text.split() for text in TEXTS]
VOCABULARY = ["a", "b", "c", "d"]


def witten_bell(history: tuple[str, ...], token: str, order: int) -> float:
    """The definition, by counting in the texts anew."""
    if order == 0:
        return 1 / (len(VOCABULARY) + 1)
    context = history[len(history) - order + 1 :] if order > 1 else ()
    shorter = witten_bell(history, token, order - 1)
    if len(context) < order - 1:  # the text has not as many tokens yet
        return shorter
    behind = []
    for text in TOKENS:
        framed = (START, *text, END)
        behind += [
            framed[place]
            for place in range(max(order - 1, 1), len(framed))
            if framed[place - order + 1 : place] == context
        ]
    if not behind:
        return shorter
    kinds = len(set(behind))
    return (behind.count(token) + kinds * shorter) / (len(behind) + kinds)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_every_probability_is_that_of_the_definition(order: int):
    model = NGram.train(TOKENS, order=order, vocabulary=VOCABULARY)
    for size in range(4):
        for said in itertools.product(VOCABULARY, repeat=size):
            history = (START, *said)
            for token in [*VOCABULARY, END]:
                expected = witten_bell(history, token, order)
                assert math.exp(model.log_prob(history, token)) == pytest.approx(expected)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_what_may_follow_a_history_adds_up_to_one(order: int):
    model = NGram.train(TOKENS, order=order, vocabulary=VOCABULARY)
    assert model.vocabulary == {*VOCABULARY, END}
    for said in itertools.product(VOCABULARY, repeat=3):
        total = sum(math.exp(model.log_prob((START, *said), token)) for token in model.vocabulary)
        assert total == pytest.approx(1.0)


def test_a_longer_history_makes_what_was_seen_likelier():
    perplexities = [NGram.train(TOKENS, order=order, vocabulary=VOCABULARY).perplexity(TOKENS) for order in (1, 2, 3)]
    assert perplexities == sorted(perplexities, reverse=True)
    model = NGram.train(TOKENS, order=3, vocabulary=VOCABULARY)
    assert math.exp(-model.score(["a", "b", "c"]) / 4) == pytest.approx(model.perplexity([["a", "b", "c"]]))
    assert model.log_prob((START,), "never heard of") == -math.inf


def test_nothing_to_count_is_refused():
    with pytest.raises(NGramError, match="no text"):
        NGram.train([])
    with pytest.raises(NGramError, match="order is 0; expected 1 or more"):
        NGram.train(TOKENS, order=0)


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
def test_a_file_holds_the_same_model(name: str, tmp_path: Path):
    model = NGram.train(TOKENS, order=3, vocabulary=VOCABULARY)
    write_arpa(tmp_path / name, model)
    again = read_arpa(tmp_path / name)
    assert again.order == 3
    assert again.log_probs == pytest.approx(model.log_probs, abs=1e-5)
    assert again.backoffs == pytest.approx(model.backoffs, abs=1e-5)
    write_arpa(tmp_path / f"again.{name}", again)
    first, second = (tmp_path / found for found in (name, f"again.{name}"))
    assert first.read_bytes() == second.read_bytes()


def test_a_file_of_other_programs_is_read(tmp_path: Path):
    lines = ["a comment", "", "\\data\\", "ngram 1=4", "ngram 2=1", "", "\\1-grams:", "-99 <s> -0.5", "-0.5 </s>"]
    lines += ["-0.25\ta\t-0.125", "-1\tb", "", "\\2-grams:", "-0.0625 a b", "", "\\end\\"]
    (tmp_path / "lm.arpa").write_text("\n".join(lines))
    model = read_arpa(tmp_path / "lm.arpa")
    assert model.vocabulary == {"a", "b", END}
    ten = math.log(10)
    assert model.log_prob((START, "a"), "b") == pytest.approx(-0.0625 * ten)
    assert model.log_prob((START, "a"), "a") == pytest.approx((-0.125 - 0.25) * ten)
    assert model.log_prob((START,), "b") == pytest.approx((-0.5 - 1) * ten)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no .end."),
        (b"\\data\\\nngram 1=2\n\n\\1-grams:\n-1 a\n\n\\end\\\n", r"lists \{1: 1\} n-grams and announces \{1: 2\}"),
        (b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1 a\n", "has no .end."),
        (b"\\data\\\nngram 1=1\n\n\\1-grams:\nminus a\n\\end\\\n", "lm.arpa:5: could not convert.* 'minus'"),
        (b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1 a b c\n\\end\\\n", "lm.arpa:5: 4 fields; expected"),
        (b"\xff\xfe", "expected an ARPA file"),
    ],
    ids=["empty", "count", "cut", "number", "fields", "bytes"],
)
def test_a_damaged_file_is_refused_in_one_line(content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "lm.arpa"
    path.write_bytes(content)
    with pytest.raises(NGramError, match=message) as error:
        read_arpa(path)
    assert "\n" not in str(error.value)
    (tmp_path / "cut.arpa.gz").write_bytes(gzip.compress(b"\\data\\")[:-4])
    with pytest.raises(NGramError, match="cannot read"):
        read_arpa(tmp_path / "cut.arpa.gz")
    with pytest.raises(NGramError, match="No such file"):
        read_arpa(tmp_path / "missing.arpa")
