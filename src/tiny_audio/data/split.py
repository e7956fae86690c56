"""Train, dev and test that share no speaker and no text, so that a measured error rate is one of new speech."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tiny_audio.data.manifest import Utterance
from tiny_audio.errors import DatasetError
from tiny_audio.text.normalizers import get_normalizer
from tiny_audio.types import Seconds

By = Literal["speaker", "text"]
TRAIN = "train"


@dataclass(frozen=True, kw_only=True)
class Split:
    """The parts, each in the given order."""

    parts: Mapping[str, Sequence[Utterance]]
    """`train` and those that were asked for."""
    left_out: Sequence[Utterance]
    """Utterances whose text another part holds."""


def split_utterances(
    utterances: Sequence[Utterance],
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    by: By = "speaker",
    shared_texts: bool = False,
) -> Split:
    """Deal whole speakers (or whole texts) to parts until each has its share of the duration.

    Which group goes where depends on seed and names alone, not on the order of the utterances.

    Args:
        utterances: to be divided; an unknown speaker is taken for that of the recording alone.
        shares: name of each part that is held out -> its share of the duration; the rest is `train`.
        seed: another one, other parts.
        by: `speaker`: no speaker is in two parts, and what shares a text with a part held out is left out.
            `text`: no text is in two parts, but speakers are.
        shared_texts: keep what shares its text with another part.

    Raises:
        DatasetError: too few speakers (or texts), or nothing is left to train on.
    """
    normalize = get_normalizer("basic")
    texts = {utterance.id: normalize(utterance.text) for utterance in utterances}
    groups: defaultdict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        speaker = utterance.speaker or str(utterance.audio)
        groups[speaker if by == "speaker" else texts[utterance.id] or str(utterance.audio)].append(utterance)
    if len(groups) <= len(shares):
        hint = "; divide it with --by text" if by == "speaker" else ""
        raise DatasetError(
            f"found only {len(groups)} of {by}; expected at least {len(shares) + 1}, one for each part{hint}"
        )
    part_of = _deal(groups, shares, seed)
    left_out: set[str] = set()
    if by == "speaker" and not shared_texts:
        held_out: dict[str, str] = {}
        for part in shares:  # the first of them keeps what it has
            for name, group in groups.items():
                for utterance in group:
                    if part_of[name] == part and texts[utterance.id]:
                        held_out.setdefault(texts[utterance.id], part)
        left_out = {
            utterance.id
            for name, group in groups.items()
            for utterance in group
            if held_out.get(texts[utterance.id], part_of[name]) != part_of[name]
        }
    part_of_id = {utterance.id: part_of[name] for name, group in groups.items() for utterance in group}
    kept = [utterance for utterance in utterances if utterance.id not in left_out]
    parts = {part: [one for one in kept if part_of_id[one.id] == part] for part in (TRAIN, *shares)}
    if empty := [part for part, rows in parts.items() if not rows]:
        raise DatasetError(
            f"nothing is left in {', '.join(empty)}: its share is less than one {by}, or all its texts are in another "
            "part too; take other shares, --shared-texts, or --by text"
        )
    return Split(parts=parts, left_out=[one for one in utterances if one.id in left_out])


def _deal(groups: Mapping[str, Sequence[Utterance]], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Name of each group -> its part: in an order of the seed's, to the first part that it brings nearer its share."""
    sizes = {name: sum(utterance.duration for utterance in group) for name, group in groups.items()}
    wanted = {part: share * sum(sizes.values()) for part, share in shares.items()}
    filled: dict[str, Seconds] = dict.fromkeys(shares, 0.0)
    part_of = {}
    order = sorted(groups, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    for name in order:
        fits = (part for part in shares if abs(filled[part] + sizes[name] - wanted[part]) < wanted[part] - filled[part])
        part_of[name] = part = next(fits, TRAIN)
        if part in filled:
            filled[part] += sizes[name]
    for part in shares:
        spare = [name for name in order if part_of[name] == TRAIN]
        if part not in part_of.values() and len(spare) > 1:  # every speaker was too long for it
            part_of[min(spare, key=lambda name: sizes[name])] = part
    return part_of
