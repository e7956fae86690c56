"""What has no axis of time: the language model, the choice of the text, and all stages in numbers."""

from collections.abc import Iterator, Sequence
from html import escape

from tiny_audio.explain.page.wording import heard, number, share, visible_html
from tiny_audio.explain.trace import Candidate, PromptView, Stage, Trace, Written

_LIKELY = 0.5


def sections(trace: Trace) -> Iterator[tuple[str, str, str]]:
    """Key, title and body of each section that there is something for."""
    if trace.prompt is None:
        reason = (
            "No token was heard, so the language model was not asked."
            if trace.ctc is not None and not trace.draft
            else "This checkpoint has no language model: the text is the CTC's own."
        )
        yield "prompt", "Language model", f'<p class="note">{reason}</p>'
    else:
        yield "prompt", "Prompt of the language model", _prompt(trace.prompt)
        yield "answer", "Tokens of the answer", _answer(trace.answer)
    if trace.candidates:
        yield "candidates", "How the text was chosen", _candidates(trace)
    if trace.words:
        yield "text", "Words and their times", _words(trace)
    yield "stages", "All stages in numbers", _stages(trace.stages)


def _prompt(prompt: PromptView) -> str:
    audio = "".join(
        f'<span class="audio" title="{start:.2f} s, cosine {guess.value:.2f}" data-start="{start:.3f}">'
        f"{visible_html(guess.text)}</span>"
        for guess, start in zip(prompt.audio, prompt.starts, strict=True)
    )
    before, after = (
        "".join(f"<span>{visible_html(text)}</span>" for text in texts) for texts in (prompt.before, prompt.after)
    )
    total = len(prompt.before) + len(prompt.audio) + len(prompt.after)
    return (
        f'<p class="note">{total} vectors: {len(prompt.before)} tokens of text, {len(prompt.audio)} of audio'
        f' (<span class="key sound">tinted</span>, under the name of the nearest token), {len(prompt.after)} of text.'
        f" Audio vectors are no words; the language model reads what lies between the tokens too.</p>"
        f'<p class="chips">{before}{audio}{after}</p>'
    )


def _answer(answer: Sequence[Written]) -> str:
    cards = "".join(
        f'<li class="{"sure" if token.probability >= _LIKELY else "unsure"}" style="--p:{token.probability:.3f}">'
        f"<b>{visible_html(token.text)}</b><i>{share(token.probability)}</i>{_others(token)}</li>"
        for token in answer
    )
    return (
        '<p class="note">The probability of each token of the final text, all before it given, and below it what the'
        " language model finds likeliest in its place. The last one ends the turn.</p>"
        f'<ol class="answer">{cards}</ol>'
    )


def _others(token: Written) -> str:
    others = [guess for guess in token.guesses if guess.text != token.text][:3]
    return "".join(f"<small>{visible_html(guess.text)}<i>{share(guess.value)}</i></small>" for guess in others)


def _candidates(trace: Trace) -> str:
    has_letters = any(candidate.scores.characters for candidate in trace.candidates)

    def letters(candidate: Candidate) -> str:
        return f"<td>{number(candidate.scores.characters, 2)}</td>" if has_letters else ""

    rows = "".join(
        f"<tr{' class=best' if candidate.text == trace.text else ''}><th scope=row>{escape(candidate.text)}</th>"
        f"<td>{number(candidate.scores.text, 2)}</td><td>{number(candidate.scores.llm, 2)}</td>"
        f"<td>{number(candidate.scores.ctc, 2)}</td>"
        f"{letters(candidate)}"
        f"<td>{len(candidate.text.split())}</td><td>{number(candidate.total, 2)}</td></tr>"
        for candidate in trace.candidates
    )
    warning = ""
    if trace.text not in [candidate.text for candidate in trace.candidates]:
        warning = " None of them is the text: a guard found that no speech, or none of this, can have been said."
    return (
        '<p class="note">Texts that the CTC or the language model proposes, with the natural logarithm of the'
        " probability that each of them gives: the language model as a reader of texts, and with the sound before it,"
        " which counts for nothing where <code>decoding.llm_weight</code> is 0."
        f" The highest weighted sum, with a bonus for each word, wins.{warning}</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Candidates"><table class="prose"><thead><tr>'
        "<th>Text</th><th>log p, language model</th><th>log p, with the sound</th><th>log p, CTC</th>"
        f"{'<th>log p, letters</th>' if has_letters else ''}<th>Words</th><th>Sum</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _words(trace: Trace) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(word.text)}</th><td>{word.start:.2f}</td><td>{word.end:.2f}</td>"
        f"<td>{heard(word)}</td></tr>"
        for word in trace.words
    )
    return (
        '<details><summary>Table</summary><div class="scroll" tabindex="0" role="region" aria-label="Words"><table>'
        "<thead><tr><th>Word</th><th>Start, s</th><th>End, s</th><th>How it is known</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _stages(stages: Sequence[Stage]) -> str:
    rows = "".join(
        f"<tr><th scope=row>{stage.name}<small>{stage.meaning}</small></th>"
        f"<td>{' × '.join(f'{size:,}' for size in stage.shape)}</td>"
        f"<td>{number(stage.mean)}</td><td>{number(stage.std)}</td>"
        f"<td>{number(stage.lowest)}</td><td>{number(stage.highest)}</td></tr>"
        for stage in stages
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Stages"><table><thead><tr><th>Stage</th>'
        "<th>Shape</th><th>Mean</th><th>Std</th><th>Min</th><th>Max</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
