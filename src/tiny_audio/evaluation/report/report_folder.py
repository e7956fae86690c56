"""Write a report: what programs read, what one pastes into a README, and the page."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tiny_audio import atomic
from tiny_audio.evaluation.report.analysis import analyse
from tiny_audio.evaluation.report.clips import AudioMode, embed_clips, link_clips
from tiny_audio.evaluation.report.page import report_page
from tiny_audio.evaluation.report.scores import scores_to_json
from tiny_audio.evaluation.report.summary import summary_markdown
from tiny_audio.evaluation.report.utterance_list import worst_first
from tiny_audio.evaluation.result_files import write_json
from tiny_audio.evaluation.results import SystemResult

MAX_LISTED = 500
"""Utterances in the page: more make a browser slow; `results.jsonl` has them all."""
MAX_CLIPS = 60
MAX_CLIP_BYTES = 6_000_000
"""Of the page, for sound: about 18 minutes."""


def write_report(
    systems: Sequence[SystemResult],
    folder: Path,
    settings: Mapping[str, object],
    *,
    audio: AudioMode = "embed",
) -> None:
    """Write the report on one system, or on several that answered the same utterances.

    results.jsonl  one line for each utterance and system: raw texts with NeMo's names, and its errors
    summary.md     tables for a README or a pull request
    report.html    the page, for a browser
    results.json   the scores (`report.scores`); last, so that it never stands beside files of another run

    Args:
        systems: At least one; those after the first are compared with it.
        folder: Made if it is missing.
        settings: What else the numbers depend on; plain types.
        audio: In the page, the sound of the worst utterances, links to all recordings, or none.
    """
    analyses = [analyse(system, systems[0]) for system in systems]
    comparisons = [system.compared_to(systems[0]) for system in systems[1:]]
    places = worst_first(analyses)[:MAX_LISTED]
    listed = [systems[0].utterances[place].result for place in places]
    clips: dict[str, str] = {}
    if audio == "embed":
        clips = embed_clips(listed, max_clips=MAX_CLIPS, max_bytes=MAX_CLIP_BYTES)
    elif audio == "link":
        clips = link_clips(listed, folder)
    page = report_page(analyses, comparisons, places=places, clips=clips, settings=settings)
    atomic.write_text(folder / "results.jsonl", "".join(_lines(systems)))
    atomic.write_text(folder / "summary.md", summary_markdown(analyses, comparisons))
    atomic.write_text(folder / "report.html", page)
    write_json(folder / "results.json", scores_to_json(analyses, comparisons, settings))


def _lines(systems: Sequence[SystemResult]) -> Iterator[str]:
    for system in systems:
        for utterance in system.utterances:
            counts = utterance.counts
            row = {"system": system.name} | utterance.result.to_row()
            row |= {
                "wer": counts.wer,
                "substitutions": counts.substitutions,
                "deletions": counts.deletions,
                "insertions": counts.insertions,
                "reference_words": counts.reference_words,
            }
            yield json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
