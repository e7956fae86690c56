"""What the page asks for: a transcript that grows, a look inside, and the language model alone."""

import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue

from tiny_audio.errors import CheckpointError
from tiny_audio.explain.clip import read_clip
from tiny_audio.explain.loading import load_any_model
from tiny_audio.explain.page.page import trace_page
from tiny_audio.explain.tracing import trace_clip
from tiny_audio.inference.results import Segment, Transcript, join_segments
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.ctc_model import CTCModel
from tiny_audio.models.speech_llm import Turn, likeliest, sampled
from tiny_audio.serving.engine import Engine


class DemoModel:
    """One model for all visitors; the methods are for any thread.

    Args:
        name: of a shipped model, or a checkpoint folder.
        engine: what transcribes with it; closed with this.
        whole: the model with all its parts; None: loaded when a trace or a text is first asked for.
    """

    def __init__(self, name: str | Path, engine: Engine, *, whole: ASRModel | CTCModel | None = None) -> None:
        self.name = name
        self._engine = engine
        if whole is not None:
            self._whole = whole
        # The engine takes many callers; of the whole model there is one, which switches its adapters on and off.
        self._alone = threading.Lock()

    @cached_property
    def _whole(self) -> ASRModel | CTCModel:
        return load_any_model(self.name)

    def transcribe(self, recording: Path) -> Iterator[Transcript]:
        """The transcript each time that another segment is known, and at last the whole; closing it ends the work.

        Raises:
            AudioError: nothing can be decoded, or it is too long.
        """
        news: SimpleQueue[Segment | None] = SimpleQueue()
        future = self._engine.submit(recording, on_segment=news.put)
        future.add_done_callback(lambda _: news.put(None))
        try:
            known: tuple[Segment, ...] = ()
            for segment in iter(news.get, None):
                known += (segment,)
                yield join_segments(known, duration=segment.end)
            yield future.result()
        finally:
            future.cancel()

    def trace(self, recording: Path) -> str:
        """The page of `tiny-audio trace`; of a recording of more than 30 s, for its first chunk.

        Raises:
            AudioError: nothing can be decoded, or nobody speaks.
            CheckpointError, WeightsError: the model cannot be loaded.
        """
        clip = read_clip(recording)
        with self._alone:
            trace = trace_clip(self._whole, clip.waveform)
        return trace_page(trace, clip, model=Path(self.name).name)

    def write(self, question: str, *, max_tokens: int, temperature: float) -> Iterator[str]:
        """The answer of the plain language model, adapters off, as far as it is written.

        Args:
            question: what it is asked.
            max_tokens: where it stops at the latest.
            temperature: how varied it is; 0 is always the likeliest token.

        Raises:
            CheckpointError: the model has no language model, or cannot be loaded.
            WeightsError: as for `ASRModel.from_pretrained`.
        """
        with self._alone:
            speech_llm = getattr(self._whole, "speech_llm", None)
        if speech_llm is None:
            raise CheckpointError(f"'{self.name}' has no language model to ask; choose another with --model")
        choose = sampled(temperature=temperature) if temperature else likeliest
        pieces = speech_llm.stream(Turn(user=question), max_tokens=max_tokens, choose=choose)
        answer = ""
        while True:
            with self._alone:  # for a token at a time: nobody waits for a long answer
                piece = next(pieces, None)
            if piece is None:
                return
            answer += piece
            yield answer

    def close(self) -> None:
        """Finish what was submitted, and end."""
        self._engine.close()
