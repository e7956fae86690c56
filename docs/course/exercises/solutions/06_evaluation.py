"""Solutions of exercise 6."""

import numpy as np


def num_errors(reference: list[str], hypothesis: list[str]) -> int:
    """Row by row: what it costs to turn each beginning of the hypothesis into a beginning of the reference."""
    costs = list(range(len(hypothesis) + 1))
    for count, said in enumerate(reference, start=1):
        row = [count]
        for index, heard in enumerate(hypothesis):
            row.append(min(costs[index] + (said != heard), costs[index + 1] + 1, row[-1] + 1))
        costs = row
    return costs[-1]


def corpus_rate(errors: list[int], words: list[int]) -> float:
    """Sums first: the mean of rates would let a short utterance weigh as much as a long one."""
    return sum(errors) / sum(words)


def interval(errors: list[int], words: list[int], drawn: np.ndarray) -> np.ndarray:
    """Each drawn set is a test set that might as well have been collected."""
    rates = np.asarray(errors)[drawn].sum(axis=1) / np.asarray(words)[drawn].sum(axis=1)
    return np.quantile(rates, [0.025, 0.975])
