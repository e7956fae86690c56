import numpy as np
import pytest

from tiny_audio.evaluation import bootstrap
from tiny_audio.evaluation.bootstrap import choose_units, compare, rate_interval


@pytest.fixture
def few_replicates(monkeypatch):
    """Enough for a simulation, which averages over many intervals."""
    monkeypatch.setattr(bootstrap, "NUM_REPLICATES", 1000)


@pytest.mark.parametrize(("num_speakers", "num_each"), [(12, 8), (40, 5), (200, 1)])
def test_the_interval_holds_the_true_rate_19_times_out_of_20(few_replicates, num_speakers, num_each):
    generator = np.random.default_rng(0)
    speakers = [str(speaker) for speaker in np.repeat(np.arange(num_speakers), num_each)]
    num_hits, num_trials = 0, 600
    for trial in range(num_trials):
        # Each speaker has a rate of its own, 12.5 % on average, so that the errors of one come together.
        rates = generator.beta(2, 14, size=(num_speakers, 1))
        words = generator.integers(5, 20, size=(num_speakers, num_each))
        errors = generator.binomial(words, rates)
        interval = rate_interval(errors.ravel(), words.ravel(), speakers, seed=trial)
        num_hits += interval.low <= 0.125 <= interval.high
    assert 0.93 <= num_hits / num_trials <= 0.97


def test_drawing_utterances_where_speakers_differ_would_be_too_sure():
    generator = np.random.default_rng(1)
    rates = np.repeat(generator.beta(1, 9, size=30), 20)
    errors, words = generator.binomial(10, rates), np.full(600, 10)

    by_speaker = rate_interval(errors, words, [str(number // 20) for number in range(600)])
    by_utterance = rate_interval(errors, words, [str(number) for number in range(600)])

    assert by_speaker.high - by_speaker.low > 1.5 * (by_utterance.high - by_utterance.low)


def test_the_same_errors_have_no_spread_and_no_difference():
    units = [str(number) for number in range(20)]

    interval = rate_interval([1] * 20, [10] * 20, units)
    comparison = compare([1] * 20, [1] * 20, [10] * 20, units)

    assert (interval.low, interval.high) == (0.1, 0.1)
    assert (comparison.difference, comparison.probability_of_improvement) == (0.0, 0.5)
    assert not comparison.is_worse
    assert not comparison.is_better


def test_one_error_less_everywhere_is_certain_although_the_rates_overlap():
    generator = np.random.default_rng(2)
    first = generator.integers(1, 10, size=50)
    words, units = [10] * 50, [str(number) for number in range(50)]

    better = compare(first, first - 1, words, units)
    worse = compare(first - 1, first, words, units)

    assert better.difference == pytest.approx(-0.1)
    assert (better.interval.low, better.interval.high) == pytest.approx((-0.1, -0.1))
    assert better.is_better
    assert better.probability_of_improvement == 1.0
    assert worse.is_worse
    assert worse.probability_of_improvement == 0.0


def test_replicates_come_from_the_seed_and_no_words_are_no_interval():
    errors, words, units = list(range(30)), [30] * 30, [str(number) for number in range(30)]

    assert rate_interval(errors, words, units) == rate_interval(errors, words, units)
    assert rate_interval(errors, words, units, seed=1) != rate_interval(errors, words, units, seed=2)
    assert rate_interval([], [], []) == bootstrap.Interval(low=0.0, high=0.0)
    assert compare([], [], [], []).probability_of_improvement == 0.5


@pytest.mark.parametrize(
    ("speakers", "recordings", "kind"),
    [
        ([f"s{number % 12}" for number in range(24)], ["r"] * 24, "speaker"),
        (["ann"] * 24, [f"r{number % 11}" for number in range(24)], "recording"),
        (["ann"] * 24, [f"r{number}" for number in range(24)], "utterance"),  # one recording each is nothing shared
        ([""] + [f"s{number}" for number in range(23)], ["r"] * 24, "utterance"),  # a speaker is unknown
    ],
)
def test_what_is_drawn_is_the_largest_unit_of_which_there_are_enough(speakers, recordings, kind):
    found, units = choose_units(speakers, recordings)

    assert found == kind
    assert len(units) == 24
