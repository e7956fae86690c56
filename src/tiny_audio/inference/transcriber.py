"""From any audio to a transcript: decode, find speech, cut, batch, run the model, join; the length costs no memory.

Knows the model only as something that turns short waveforms into hypotheses; importing this file imports no torch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from tiny_audio.audio.io import MIN_DURATION, Channel, open_audio
from tiny_audio.audio.timebase import SAMPLE_RATE, samples_to_seconds, seconds_to_samples
from tiny_audio.audio.vad import Detector, VadOptions
from tiny_audio.errors import AnswerError, AudioError, ConfigError, PromptError, UnitsError, UnknownNameError
from tiny_audio.inference.batching import run_in_batches
from tiny_audio.inference.longform import Chunk, cut_into_chunks, load_detector
from tiny_audio.inference.results import Segment, Transcript, join_segments
from tiny_audio.models.words import Word
from tiny_audio.types import Seconds, Waveform

if TYPE_CHECKING:
    from tiny_audio.inference.recognizer import DType
    from tiny_audio.inference.streaming import StreamEvent, TranscriptionStream

Mode = Literal["accurate", "letters", "fast", "whisper"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""accurate: CTC and language model. fast: CTC alone. whisper: the plain Whisper decoder, to compare with."""
_LOOKAHEAD_BATCHES = 4  # of many sources, to put clips of similar length together


class SpeechHypothesis(Protocol):
    """What was understood in one waveform; `Segment` says which further attributes it may have."""

    @property
    def text(self) -> str:
        """The answer."""

    @property
    def draft(self) -> str:
        """The CTC's own answer, before the language model."""

    @property
    def no_speech(self) -> bool:
        """Whether there is no speech in it."""


class SpeechModel(Protocol):
    """All that a transcriber needs of a model."""

    def transcribe_waveforms(self, waveforms: Sequence[Waveform]) -> Sequence[SpeechHypothesis]:
        """One hypothesis for each waveform of 0.1 to 30 s, whatever stands beside it."""


class ModelOnDemand:
    """A model that is loaded when there is first something to hear."""

    def __init__(self, load: Callable[[], SpeechModel]) -> None:
        self._load = load

    @cached_property
    def model(self) -> SpeechModel:
        """The loaded model."""
        return self._load()

    def transcribe_waveforms(self, waveforms: Sequence[Waveform], **options: Any) -> Sequence[SpeechHypothesis]:
        """See `SpeechModel`."""
        return _hear(self.model, waveforms, **options)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One more segment of one of several sources is done."""

    index: int
    """Of the source."""
    segment: Segment
    header_duration: Seconds | None
    """How long the source is by its own header."""


class Transcriber:
    """Transcribes audio of any length with one model."""

    def __init__(
        self,
        model: SpeechModel,
        *,
        name: str = "this model",
        vad: VadOptions | None = None,
        max_batch_duration: Seconds = 30.0,
        hotwords: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.name = name
        """For messages."""
        self.hotwords = hotwords
        """Words that are likely to be said, where a call names none of its own."""
        self.vad = vad or VadOptions()
        self.max_batch_duration = max_batch_duration
        """Padded audio in one call of the model; one chunk may be longer."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "tiny-audio-base",
        *,
        mode: Mode = "accurate",
        device: str = "auto",
        dtype: "DType" = "auto",
        word_timestamps: bool = False,
        vad: VadOptions | None = None,
        max_batch_duration: Seconds = 30.0,
        hotwords: Sequence[str] = (),
    ) -> "Transcriber":
        """Load a shipped model by its name, or a checkpoint folder, ready to transcribe.

        Args:
            name: of the model; in the mode whisper only its CTC is asked, when words were said.
            mode: who writes the text, see `MODES`.
            device: of torch; auto takes a GPU where there is one.
            dtype: of the products; auto is what the device computes fast.
            word_timestamps: time every word.
            vad: what is speech.
            max_batch_duration: padded audio in one call of the model.
            hotwords: words that are likely to be said.

        Raises:
            CheckpointError: no such checkpoint, or its tensors do not fit.
            UnknownNameError: no such mode.
            WeightsError: the frozen weights can neither be found nor fetched.
        """
        if mode not in MODES:
            raise UnknownNameError("mode", mode, known=MODES)
        from tiny_audio.models.ctc_model import CTCModel, is_ctc_checkpoint

        model: SpeechModel
        if mode == "whisper":
            model = _PlainWhisper(timed_by=name if word_timestamps else None)
        elif is_ctc_checkpoint(name):
            model = CTCModel.load(Path(name))
        else:
            from tiny_audio.inference.recognizer import Recognizer

            model = Recognizer.from_pretrained(name, mode=mode, device=device, dtype=dtype, with_words=word_timestamps)
        return cls(model, name=str(name), vad=vad, max_batch_duration=max_batch_duration, hotwords=hotwords)

    def transcribe(
        self,
        source: Any,
        *,
        sample_rate: int | None = None,
        channel: Channel = "mix",
        hotwords: Sequence[str] = (),
        progress: Callable[[Progress], None] | None = None,
    ) -> Transcript:
        """Transcribe one file name, `-`, bytes, binary file or array (see `audio.io.open_audio`).

        Damaged audio is transcribed as far as it can be decoded, and `Transcript.warnings` says so.

        Args:
            source: the audio.
            sample_rate: rate of an array in Hz.
            channel: which channel to hear.
            hotwords: words that are likely to be said, for models that can be told.
            progress: called for every segment.

        Raises:
            AudioError: nothing can be decoded.
        """
        outcomes = self._outcomes(
            [source], sample_rate=sample_rate, channel=channel, hotwords=hotwords, progress=progress
        )
        return _or_raise(next(outcomes))

    def transcribe_iter(
        self,
        source: Any,
        *,
        sample_rate: int | None = None,
        channel: Channel = "mix",
        hotwords: Sequence[str] = (),
    ) -> Iterator[Segment]:
        """Yield the segments of `transcribe` in order, as soon as they are known.

        Raises:
            AudioError: nothing can be decoded.
        """
        pieces = self._pieces([source], sample_rate=sample_rate, channel=channel)
        num_segments = 0
        for piece, hypothesis in self._recognise(pieces, hotwords, lookahead=1):
            if isinstance(piece, _End):
                _or_raise(piece.outcome([]))
            else:
                yield _segment(num_segments, piece.chunk, hypothesis)
                num_segments += 1

    def transcribe_many(
        self,
        sources: Iterable[Any],
        *,
        channel: Channel = "mix",
        hotwords: Sequence[str] = (),
        progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[Transcript | AudioError]:
        """Yield what `transcribe` returns or raises for each source, in order; short ones share batches.

        Sources are opened as they are needed, and no more than a few batches of audio are in memory.
        """
        return self._outcomes(sources, sample_rate=None, channel=channel, hotwords=hotwords, progress=progress)

    def transcribe_batch(self, waveforms: Sequence[Waveform]) -> list[Transcript]:
        """Transcribe mono 16 kHz waveforms of any length; the same texts as one at a time."""
        outcomes = self._outcomes(waveforms, sample_rate=SAMPLE_RATE, channel="mix", hotwords=(), progress=None)
        return [_or_raise(outcome) for outcome in outcomes]

    def stream(
        self,
        *,
        sample_rate: int = SAMPLE_RATE,
        vad: VadOptions | None = None,
        on_event: "Callable[[StreamEvent], None] | None" = None,
        partial_interval: Seconds | None = 1.0,
    ) -> "TranscriptionStream":
        """Transcribe live audio; see `inference.streaming.TranscriptionStream`."""
        from tiny_audio.inference.streaming import TranscriptionStream

        return TranscriptionStream(
            self, sample_rate=sample_rate, vad=vad, on_event=on_event, partial_interval=partial_interval
        )

    def recognise_chunk(self, id: int, chunk: Chunk, *, hotwords: Sequence[str] = ()) -> Segment:
        """The segment of one chunk; without asking the model if it is too short to hold speech."""
        if not _size(_Piece(0, chunk, None)):
            return _segment(id, chunk, None)
        (hypothesis,) = _hear(self.model, [chunk.waveform], hotwords=hotwords or self.hotwords)
        return _segment(id, chunk, hypothesis)

    def respond_batch(self, waveforms: Sequence[Waveform], task: str) -> list[str]:
        """What the model answers about each 16 kHz waveform of 0.1 to 30 s, such as `describe`.

        Raises:
            AnswerError: the model has not been trained for that task, or has no language model.
            UnknownNameError: there is no such task.
        """
        answer = getattr(self.model, "answer_waveforms", None)
        if answer is None:
            raise AnswerError(f"{self.name} can only transcribe; it is asked to '{task}'")
        try:
            return list(answer(waveforms, task))
        except (PromptError, ConfigError) as error:
            raise AnswerError(str(error)) from error

    def new_detector(self) -> Detector:
        """A voice activity detector for one signal."""
        return self._make_detector()

    @cached_property
    def _make_detector(self) -> Callable[[], Detector]:
        return load_detector(self.vad)

    def _outcomes(
        self,
        sources: Iterable[Any],
        *,
        sample_rate: int | None,
        channel: Channel,
        hotwords: Sequence[str],
        progress: Callable[[Progress], None] | None,
    ) -> Iterator[Transcript | AudioError]:
        pieces = self._pieces(sources, sample_rate=sample_rate, channel=channel)
        segments: list[Segment] = []
        for piece, hypothesis in self._recognise(pieces, hotwords, lookahead=_LOOKAHEAD_BATCHES):
            if isinstance(piece, _End):
                yield piece.outcome(segments)
                segments = []
                continue
            segments.append(_segment(len(segments), piece.chunk, hypothesis))
            if progress:
                progress(Progress(index=piece.index, segment=segments[-1], header_duration=piece.header_duration))

    def _pieces(
        self, sources: Iterable[Any], *, sample_rate: int | None, channel: Channel
    ) -> Iterator["_Piece | _End"]:
        """The chunks of each source, and behind them its end."""
        for index, source in enumerate(sources):
            try:
                with open_audio(source, sample_rate=sample_rate, channel=channel) as audio:
                    for chunk in cut_into_chunks(audio, self.new_detector(), self.vad):
                        yield _Piece(index, chunk, audio.header_duration)
            except AudioError as error:
                yield _End(error=error)
            else:
                yield _End(duration=audio.duration, warnings=tuple(audio.warnings))

    def _recognise(
        self, pieces: Iterator["_Piece | _End"], hotwords: Sequence[str], *, lookahead: int
    ) -> Iterator[tuple["_Piece | _End", SpeechHypothesis | None]]:
        max_size = seconds_to_samples(self.max_batch_duration)
        return run_in_batches(
            pieces,
            run=lambda batch: _hear(
                self.model,
                [piece.chunk.waveform for piece in batch if isinstance(piece, _Piece)],
                hotwords=hotwords or self.hotwords,
            ),
            size_of=_size,
            max_size=max_size,
            lookahead=lookahead * max_size,
        )


@dataclass(frozen=True)
class _Piece:
    """A chunk and the source that it comes from."""

    index: int
    chunk: Chunk
    header_duration: Seconds | None


@dataclass(frozen=True, kw_only=True)
class _End:
    """Behind the last chunk of a source."""

    duration: Seconds = 0.0
    warnings: tuple[str, ...] = ()
    error: AudioError | None = None

    def outcome(self, segments: Sequence[Segment]) -> Transcript | AudioError:
        return self.error or join_segments(tuple(segments), duration=self.duration, warnings=self.warnings)


def _size(piece: _Piece | _End) -> int:
    """Samples for the model; none if there is nothing to hear in the piece."""
    if isinstance(piece, _End) or samples_to_seconds(len(piece.chunk.waveform)) < MIN_DURATION:
        return 0
    return len(piece.chunk.waveform)


def _hear(
    model: SpeechModel, waveforms: Sequence[Waveform], *, hotwords: Sequence[str] = ()
) -> Sequence[SpeechHypothesis]:
    if not hotwords:
        return model.transcribe_waveforms(waveforms)
    if isinstance(model, ModelOnDemand):
        return model.transcribe_waveforms(waveforms, hotwords=hotwords)
    if "hotwords" not in signature(model.transcribe_waveforms).parameters:
        raise ConfigError(["this model cannot be told hotwords; leave them out"])
    return model.transcribe_waveforms(waveforms, hotwords=hotwords)  # type: ignore[call-arg]


def _segment(id: int, chunk: Chunk, hypothesis: SpeechHypothesis | None) -> Segment:
    segment = Segment(id=id, start=chunk.start, end=chunk.end, text="", no_speech=True)
    if hypothesis is None:
        return segment
    # Not every model knows more than its text.
    segment = replace(
        segment,
        draft=_tidy(hypothesis.draft),
        avg_logprob=getattr(hypothesis, "avg_logprob", None),
        no_speech_prob=getattr(hypothesis, "no_speech_prob", None),
        flagged=getattr(hypothesis, "flagged", False),
    )
    if hypothesis.no_speech:
        return segment
    words = (
        replace(word, start=_within(chunk, word.start), end=_within(chunk, word.end))
        for word in getattr(hypothesis, "words", ())
    )
    return replace(segment, text=_tidy(hypothesis.text), no_speech=False, words=tuple(words))


def _within(chunk: Chunk, time: Seconds) -> Seconds:
    """A time in the chunk as one of the audio, in whole milliseconds that do not carry a word out of its segment."""
    return min(max(round(samples_to_seconds(chunk.start_sample) + time, 3), chunk.start), chunk.end)


def _or_raise(outcome: Transcript | AudioError) -> Transcript:
    if isinstance(outcome, AudioError):
        raise outcome
    return outcome


def _tidy(text: str) -> str:
    """Single spaces and no line breaks: one transcript is one line."""
    return " ".join(text.split())


class _PlainWhisper:
    """Whisper's own decoder, with the interface of our model.

    Args:
        timed_by: checkpoint whose CTC times the words; None: they have no times.

    Raises:
        CheckpointError: no such checkpoint, or one without a CTC.
        WeightsError: the frozen weights can neither be found nor fetched.
    """

    def __init__(self, *, timed_by: str | Path | None = None) -> None:
        from tiny_audio.inference.forced_alignment import load_ctc
        from tiny_audio.models.whisper_decoder import WhisperTranscriber

        self._whisper = WhisperTranscriber.from_cache()
        self._ctc = None if timed_by is None else load_ctc(timed_by)

    def transcribe_waveforms(self, waveforms: Sequence[Waveform]) -> Sequence[SpeechHypothesis]:
        from tiny_audio.inference.recognizer import Hypothesis

        return [
            Hypothesis(text=text, draft="", no_speech=not text, words=self._words(waveform, text))
            for text, waveform in zip(self._whisper.transcribe(waveforms), waveforms, strict=True)
        ]

    def _words(self, waveform: Waveform, text: str) -> tuple[Word, ...]:
        from tiny_audio.inference.forced_alignment import align_text
        from tiny_audio.inference.timestamps import word_times

        if self._ctc is None:
            return ()
        try:
            return tuple(align_text(self._ctc, waveform, text))
        except (AudioError, UnitsError):  # more words than can have been said, or letters that the CTC does not know
            words = text.split()
            return tuple(word_times(words, [[]] * len(words), waveform, frame_duration=1.0))


def load_model(name: str | Path = "tiny-audio-base", **options: Any) -> Transcriber:
    """`Transcriber.from_pretrained`, as a function."""
    return Transcriber.from_pretrained(name, **options)
