"""Run items in batches of similar size and get them back in their order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def plan_batches(sizes: Sequence[int], max_size: int) -> list[list[int]]:
    """Indices into `sizes`, grouped by similar size so that little of a batch is padding.

    A batch counts as its largest item times its number of items, and that is at most `max_size`; a single item may be
    larger.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        # The largest comes first, and all others are padded to it.
        if not batches or sizes[batches[-1][0]] * (len(batches[-1]) + 1) > max_size:
            batches.append([])
        batches[-1].append(index)
    return batches


def run_in_batches(
    items: Iterable[Item],
    *,
    run: Callable[[list[Item]], Sequence[Result]],
    size_of: Callable[[Item], int],
    max_size: int,
    lookahead: int,
) -> Iterator[tuple[Item, Result | None]]:
    """Yield every item with its result, in the order of `items`, as soon as it is known.

    Args:
        items: taken from the iterable as they are needed.
        run: results of one batch.
        size_of: of an item; those of size 0 need no run, and their result is None.
        max_size: of a padded batch (`plan_batches`).
        lookahead: total size of the items that are held at once, to find some of similar size.
    """
    window: list[Item] = []
    window_size = 0
    for item in items:
        size = size_of(item)
        if not window and not size:
            yield item, None
            continue
        window.append(item)
        window_size += size
        if window_size >= lookahead:
            yield from _run_window(window, run, size_of, max_size)
            window, window_size = [], 0
    yield from _run_window(window, run, size_of, max_size)


def _run_window(
    window: list[Item], run: Callable[[list[Item]], Sequence[Result]], size_of: Callable[[Item], int], max_size: int
) -> Iterator[tuple[Item, Result | None]]:
    to_run = [index for index, item in enumerate(window) if size_of(item)]
    results: dict[int, Result] = {}
    next_index = 0
    for batch in plan_batches([size_of(window[index]) for index in to_run], max_size):
        indices = [to_run[place] for place in batch]
        results.update(zip(indices, run([window[index] for index in indices]), strict=True))
        while next_index < len(window) and (next_index in results or not size_of(window[next_index])):
            yield window[next_index], results.pop(next_index, None)
            next_index += 1
