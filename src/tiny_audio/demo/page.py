"""The page: what is on it, and what happens when somebody speaks, or asks."""

import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from tiny_audio.data.manifest import read_manifest
from tiny_audio.demo.fence import names_foreign_file
from tiny_audio.demo.model import DemoModel
from tiny_audio.demo.view import downloads_html, trace_html, words_html
from tiny_audio.errors import TinyAudioError
from tiny_audio.explain.samples import samples_folder

_KEEP_FILES = (60, 1800)  # look every minute for files of half an hour ago
_MAX_WAITING = 64
_TRANSCRIBED_AT_ONCE = 8  # the engine batches them
_QUESTIONS = ("What is the capital of France?", "Write two sentences about rain.", "Why is the sky blue?")
_HEAD = """<h1>Tiny Audio</h1>
<p>Speech to text with <b>{model}</b>, computed by the machine that serves this page.</p>"""


class Page(gr.Blocks):
    """A page that looks at the files which a request names before Gradio does.

    Args:
        folder: of temporary files, the only ones that it may open.
        **options: of `gr.Blocks`.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self._folder = folder

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any) -> Any:
        """See `gr.Blocks`."""
        if names_foreign_file(inputs, self._folder):
            raise gr.Error("This file was not uploaded; record or upload one.", print_exception=False)
        return await super().preprocess_data(block_fn, inputs, *args, **options)


def build_page(model: DemoModel, folder: Path) -> Page:
    """The page of a model, with temporary files in that folder."""
    with Page(folder, title="Tiny Audio", analytics_enabled=False, delete_cache=_KEEP_FILES) as page:
        gr.HTML(_HEAD.format(model=escape(Path(model.name).name)), elem_id="head")
        with gr.Tab("Transcribe"):
            _add_transcribe_tab(model)
        with gr.Tab("Text"):
            _add_text_tab(model)
    page.queue(max_size=_MAX_WAITING)
    return page


def _add_transcribe_tab(model: DemoModel) -> None:
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            sound = gr.Audio(sources=["microphone", "upload"], type="filepath", label="Speech", buttons=[])
            samples = read_manifest(samples_folder() / "manifest.jsonl")
            gr.Examples(
                [[str(sample.audio)] for sample in samples],
                sound,
                example_labels=[textwrap.shorten(sample.text, 40, placeholder=" …") for sample in samples],
                cache_examples=False,
                api_visibility="private",
            )
        with gr.Column(min_width=320):
            text = gr.Textbox(
                label="Text", lines=4, buttons=["copy"], interactive=False, placeholder="Speak, or choose a recording."
            )
            words = gr.HTML(padding=True)
            look = gr.Button("Show how it was heard", size="md", visible=False)
    panels = gr.HTML(elem_id="trace")

    def transcribe(recording: str | None) -> Iterator[tuple[str, str, Any, str]]:
        yield "", "", gr.update(visible=False), ""
        if recording is None:
            return
        path = Path(recording)
        try:
            for transcript in model.transcribe(path):
                yield transcript.text, words_html(transcript), gr.update(visible=False), ""
        except TinyAudioError as error:
            raise _shown(error, path) from error
        links = downloads_html(transcript, path.stem) if transcript.text else ""
        yield transcript.text, words_html(transcript) + links, gr.update(visible=bool(transcript.text)), ""

    def trace(recording: str | None) -> str:
        if recording is None:
            return ""
        try:
            return trace_html(model.trace(Path(recording)))
        except TinyAudioError as error:
            raise _shown(error, Path(recording)) from error

    sound.change(
        transcribe,
        sound,
        [text, words, look, panels],
        show_progress="minimal",
        show_progress_on=text,
        trigger_mode="always_last",
        concurrency_limit=_TRANSCRIBED_AT_ONCE,
        api_visibility="private",
    )
    look.click(trace, sound, panels, show_progress_on=look, api_visibility="private")


def _add_text_tab(model: DemoModel) -> None:
    gr.Markdown("The language model alone, as it was before it learned to listen.")
    question = gr.Textbox(label="Question", lines=2, max_length=4000, submit_btn="Ask")
    answer = gr.Textbox(label="Answer", lines=6, buttons=["copy"], interactive=False)
    gr.Examples([[text] for text in _QUESTIONS], question, label="Questions", cache_examples=False)
    with gr.Accordion("Options", open=False):
        max_tokens = gr.Slider(1, 512, value=256, step=1, label="Tokens at most")
        temperature = gr.Slider(0, 1.5, value=0, step=0.1, label="Temperature; 0: always the likeliest token")

    def write(question: str, max_tokens: int, temperature: float) -> Iterator[str]:
        if not question.strip():
            raise gr.Error("There is no question; write one.", print_exception=False)
        yield ""
        try:
            yield from model.write(question, max_tokens=int(max_tokens), temperature=temperature)
        except TinyAudioError as error:
            raise _shown(error) from error

    question.submit(
        write, [question, max_tokens, temperature], answer, show_progress="minimal", api_visibility="private"
    )


def _shown(error: TinyAudioError, recording: Path | None = None) -> gr.Error:
    """The error for the visitor, without the folder of the server that the recording lies in."""
    text = " ".join(str(error).split())
    return gr.Error(text.replace(str(recording), recording.name) if recording else text, print_exception=False)
