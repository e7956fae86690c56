"""`report.html`: the whole report as one page that needs no network and no other file.

It reads without JavaScript too; that adds filter, sort, search, sound and the choice of one system among several.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from tiny_audio.evaluation.bootstrap import Comparison
from tiny_audio.evaluation.report import sections
from tiny_audio.evaluation.report.analysis import SystemAnalysis
from tiny_audio.evaluation.report.utterance_list import utterance_section
from tiny_audio.evaluation.report.wording import amount, dataset_title, time_span


def report_page(
    analyses: Sequence[SystemAnalysis],
    comparisons: Sequence[Comparison],
    *,
    places: Sequence[int],
    clips: Mapping[str, str],
    settings: Mapping[str, object],
) -> str:
    """The page.

    Args:
        analyses: One or more systems on the same utterances.
        comparisons: Of each further system with the first.
        places: Which utterances are listed, in this order.
        clips: Addresses of their sound by utterance id.
        settings: What else the numbers depend on.
    """
    bodies = {
        "Result": sections.result(analyses, comparisons),
        "Where the errors are": sections.buckets(analyses),
        "Frequent errors": sections.frequent_errors(analyses),
        "Suspicious answers": sections.hallucinations(analyses),
        "Speed": sections.speed(analyses),
        "Other tasks": sections.tasks(analyses),
        "Utterances": utterance_section(analyses, places, clips),
        "Settings": sections.settings(analyses, settings),
    }
    present = {title: (title.lower().replace(" ", "-"), body) for title, body in bodies.items() if body}
    links = "".join(f'<a href="#{key}">{title}</a>' for title, (key, _) in present.items())
    main = "\n".join(
        f'<section id="{key}" aria-labelledby="{key}-title">\n<h2 id="{key}-title">{title}</h2>\n{body}\n</section>'
        for title, (key, body) in present.items()
    )
    title = escape(dataset_title(analyses[0].system.dataset))
    style, script = _resource("page.css"), _resource("page.js")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_security_policy(script)}">
<title>{title} · evaluation</title>
<style>
{style}</style>
</head>
<body>
<header>
<div class="kicker"><span>Tiny Audio evaluation</span><button id="theme" type="button" hidden></button></div>
<h1>{title}</h1>
<p class="lead">{_lead(analyses)}</p>
</header>
<nav aria-label="Sections">{links}</nav>
<main>
{main}
</main>
<script type="application/json" id="clips">{_script_data(clips)}</script>
<script>{script}</script>
</body>
</html>
"""


def _lead(analyses: Sequence[SystemAnalysis]) -> str:
    system = analyses[0].system
    duration = sum(utterance.result.duration for utterance in system.utterances)
    parts = [amount(len(analyses), "system")] if len(analyses) > 1 else []
    parts += [amount(len(system.utterances), "utterance"), f"{amount(system.counts.reference_words, 'word')} said"]
    parts += [f"{time_span(duration)} of audio"] if duration else []
    return " · ".join(parts)


def _script_data(value: Mapping[str, str]) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(value).replace("<", "\\u003c")


def _security_policy(script: str) -> str:
    """Even if a transcript found a way past `escape`, nothing but our own script would run, and nothing be fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; media-src data: file: 'self'"


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
