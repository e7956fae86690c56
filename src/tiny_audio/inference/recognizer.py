"""A model made ready to transcribe: 8-bit products where the CPU is fast at them, and the language model in few passes.

    waveforms -> encoder -> projector -> CTC hypotheses -> language model reads them all at once -> text

Shapes: B batch, T encoder frames, D encoder width, A audio tokens, E LLM width, V vocabulary.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from tiny_audio.errors import ConfigError
from tiny_audio.free_memory import return_free_memory
from tiny_audio.inference.guards import (
    NO_SPEECH_THRESHOLD,
    active_duration,
    avg_logprob,
    check_text,
    letters_no_speech_prob,
    no_speech_prob,
)
from tiny_audio.inference.llm_questions import LLMPrompt, ModuleAnswers, Question, RunnerAnswers
from tiny_audio.inference.timestamps import word_times
from tiny_audio.models import int8, token_cap
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.character_candidates import CharacterPosteriors
from tiny_audio.models.checkpoint import load_without_llm
from tiny_audio.models.ctc_alignment import align_words
from tiny_audio.models.describer import Describer
from tiny_audio.models.hotwords import count_hotwords, hotword_candidates
from tiny_audio.models.joint_decoding import (
    CandidateScores,
    choose_text,
    ctc_log_probs,
    heard_score,
    heard_scores,
    text_by_sound,
    text_candidates,
    total_score,
)
from tiny_audio.models.llama_by_layers import can_run_by_layers, runner_by_layers
from tiny_audio.models.llama_runner import KVCache, LlamaRunner
from tiny_audio.models.posteriors import FramePosteriors, embed_frames, frame_posteriors
from tiny_audio.models.precision import has_bfloat16_tiles
from tiny_audio.models.projectors.aligned import Projected
from tiny_audio.models.second_look import as_guessed, finalists, with_others
from tiny_audio.models.speculative import Decoded, DraftedPrompt, decode
from tiny_audio.models.speech_llm import Turn
from tiny_audio.models.words import Word
from tiny_audio.text.descriptions import describe, pace_of
from tiny_audio.text.prompts import (
    decode_transcript,
    encode_transcript,
    task_text,
)
from tiny_audio.types import Waveform

Mode = Literal["accurate", "letters", "fast"]
DType = Literal["auto", "float32", "bfloat16", "float16", "int8"]
DTYPES: tuple[DType, ...] = get_args(DType)
_MAX_HOTWORDS = 3
"""That one utterance may take up beyond those it was heard with."""
_MAX_GUESSED = 8
"""Texts with a token as the language model expects it."""
_MAX_ANSWER_TOKENS = 64
"""Of an answer that is not a transcript."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """What was understood in one waveform."""

    text: str
    draft: str
    """The CTC's own answer, before the language model; empty without an aligned projector."""
    no_speech: bool
    """Nothing was said."""
    no_speech_prob: float | None = None
    avg_logprob: float | None = None
    """Mean natural-log probability of a token of the text, by the CTC where there is one."""
    flagged: bool = False
    """A person should look at it: the language model's text could not be what was said."""
    words: tuple[Word, ...] = ()
    num_passes: int = 0
    """Forward passes of the language model."""


@dataclass(frozen=True, kw_only=True)
class Considered:
    """The texts that one waveform may be, before anything is decided."""

    draft: str
    """The CTC's own answer."""
    scores: Mapping[str, CandidateScores]
    """Of all texts that may be chosen, the first read whole, the others as far as they differ from it; none where no
    language model was asked."""
    estimated: Mapping[str, CandidateScores]
    """Of the CTC's best text and such as differ from it in one place, as texts alone."""


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """One utterance behind the projector."""

    embeds_AE: Tensor | None = None
    """For the language model; None where it is not asked."""
    max_tokens: int = 0
    """That the language model may write."""
    projected: Projected | None = None
    """Of this row alone, `(1, A, ...)`, without padding; None without an aligned projector, as all that follows."""
    posteriors: FramePosteriors | None = None
    draft: str = ""
    candidates: Mapping[str, float] = field(default_factory=dict)
    """Texts to be judged with their CTC log-probabilities: the best, then others that differ from it in one place."""
    letters: CharacterPosteriors | None = None
    """None without a CTC over characters."""
    cache: KVCache | None = None
    """Of the prompt, once the language model has read it."""


@dataclass(kw_only=True)
class _Judged:
    """One utterance, and what CTC and language model think of the texts that it may be."""

    heard: _Heard
    listened: Decoded | None = None
    """What the language model made of the best text with the sound; None where it was not asked."""
    num_passes: int = 0
    """Of the language model."""
    scores: dict[str, CandidateScores] = field(default_factory=dict)
    """Of texts that may be chosen."""
    estimated: Mapping[str, CandidateScores] = field(default_factory=dict)
    """Of the candidates, which were read as far as they differ from the first."""


def resolve_dtype(name: DType, device: torch.device) -> torch.dtype:
    """`auto`: int8 on a CPU that can, bfloat16 on a GPU, float32 elsewhere."""
    if name != "auto":
        return getattr(torch, name)  # type: ignore[no-any-return]
    if device.type == "cpu":
        return torch.int8 if int8.is_supported() else torch.float32
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _ctc_head(of_embeddings: Callable[[Tensor], Tensor], spelling_VS: Tensor) -> Callable[[Tensor], Tensor]:
    """Logits of the CTC from the language model's own head and, in 8 bits, the embeddings of spellings, if any."""
    if not spelling_VS.shape[1]:
        return of_embeddings
    of_spellings, width = int8.Int8Linear(spelling_VS), spelling_VS.shape[1]

    def logits(hidden_AK: Tensor) -> Tensor:
        return of_embeddings(hidden_AK[:, :-width]).add_(of_spellings(hidden_AK[:, -width:]))

    return logits


class Recognizer:
    """Transcribes short waveforms; what stands beside an utterance does not change its text.

    Keeps only what it needs of the model, which may be forgotten afterwards.

    Args:
        model: in evaluation mode; without an encoder only `transcribe_features` works.
        mode: accurate: CTC, letters and language model decide together. letters: without the language model. fast: the
            CTC over tokens alone.
        dtype: of the products in encoder and language model.
        with_words: time every word.
        runner: the language model, where `model` comes without it.

    Raises:
        ConfigError: mode letters, and the model has none.
    """

    def __init__(
        self,
        model: ASRModel,
        *,
        mode: Mode = "accurate",
        dtype: DType = "float32",
        with_words: bool = False,
        runner: LlamaRunner | None = None,
    ) -> None:
        if mode == "letters" and model.characters is None:
            raise ConfigError(
                [
                    "mode letters needs a CTC over characters, which this checkpoint does not have; "
                    "use fast, or add one with `tiny-audio train characters`"
                ]
            )
        self.config = model.config
        self.with_words = with_words
        self.tokenizer = model.tokenizer
        self.table_VE = model.table_VE
        self.ctc_tokenizer, self.ctc_table_VE = model.ctc_tokenizer, model.ctc_table_VE
        self.projector = model.projector
        self.describer = model.describer
        self.characters = model.characters if mode != "fast" else None
        product_dtype = resolve_dtype(dtype, self.table_VE.device)
        self._half = product_dtype if product_dtype in (torch.bfloat16, torch.float16) else None
        self.encoder = model.encoder
        if self.encoder is not None and product_dtype == torch.int8:
            self.encoder = copy.deepcopy(self.encoder)
            int8.quantize_linears(self.encoder)
            if has_bfloat16_tiles():  # 8 significant bits, as the products on either side have
                self.encoder.attend_in(torch.bfloat16)
        self.runner = runner
        self._answers: RunnerAnswers | ModuleAnswers | None = None
        self.speech_llm = model.speech_llm if mode == "accurate" or not model.is_aligned else None
        if self.speech_llm is not None and LlamaRunner.supports(self.speech_llm.llm.config.to_dict()):
            self.runner = LlamaRunner.from_llm(self.speech_llm.llm, dtype=product_dtype)
        if self.runner is not None:
            self._prompt = LLMPrompt(self.config.prompt, self.tokenizer, self.table_VE, self.speech_llm)
            self._answers = RunnerAnswers(self.runner, self._prompt, self.tokenizer)
            self.speech_llm = None
        elif self.speech_llm is not None:
            self._answers = ModuleAnswers(self.speech_llm, self.tokenizer)
        self._head = None
        # With a part of the vocabulary the product is small anyway, and the language model's head is another one.
        if product_dtype == torch.int8 and len(self.ctc_table_VE) == len(self.table_VE):
            is_tied = self.runner is not None and isinstance(self.runner.head, int8.Int8Linear) and self.runner.is_tied
            of_embeddings = self.runner.head if is_tied and self.runner else int8.Int8Linear(self.table_VE)
            self._head = _ctc_head(of_embeddings, self.ctc_table_VE[:, self.table_VE.shape[1] :])

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "tiny-audio-base",
        *,
        mode: Mode = "accurate",
        dtype: DType = "auto",
        device: str = "auto",
        with_words: bool = False,
    ) -> "Recognizer":
        """Load a checkpoint; see `ASRModel.from_pretrained`.

        Where it can, it reads the language model layer by layer and keeps it in the format of the products alone.
        """
        config = ASRConfig.from_pretrained(name)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        runner = None
        if config.projector.aligned and mode != "accurate":
            model, _ = load_without_llm(name)
        elif config.projector.aligned and device == "cpu" and can_run_by_layers(config):
            model, adapters = load_without_llm(name)
            runner = runner_by_layers(config, adapters, model.table_VE, resolve_dtype(dtype, torch.device(device)))
        else:
            model = ASRModel.from_pretrained(name)
        recognizer = cls(model.to(device), mode=mode, dtype=dtype, with_words=with_words, runner=runner)
        del model, runner
        return_free_memory()
        return recognizer

    @torch.inference_mode()
    def transcribe_waveforms(self, waveforms: Sequence[Waveform], *, hotwords: Sequence[str] = ()) -> list[Hypothesis]:
        """Transcribe 16 kHz waveforms of 0.1 to 30 s each.

        Args:
            waveforms: the audio.
            hotwords: words that are likely to be said; they are found where the sound allows it.
        """
        if hotwords and not (self._has_llm and self.config.projector.aligned):
            raise ConfigError(["hotwords need CTC and a language model; use mode accurate and an aligned checkpoint"])
        return self._understand(self._hear_waveforms(waveforms), waveforms, hotwords)

    @torch.inference_mode()
    def answer_waveforms(self, waveforms: Sequence[Waveform], task: str) -> list[str]:
        """What the model says about 16 kHz waveforms of 0.1 to 30 s each.

        A description comes from the describer, where there is one; all else the language model writes, greedily.

        Args:
            waveforms: the audio.
            task: a name of `text.prompts.TASKS` that the model has been trained for.

        Raises:
            UnknownNameError: there is no such task.
            PromptError: the model has not been trained for it.
            ConfigError: there is no language model in this mode.
        """
        self.config.check_task(task)
        if task == "describe" and self.describer is not None:
            return [self._describe(waveform, self.describer) for waveform in waveforms]
        if not self._has_llm:
            raise ConfigError([f"'{task}' needs the language model; use mode accurate"])
        heard = [self._embedded(one) for one in self._hear_waveforms(waveforms)]
        embeds = [one.embeds_AE for one in heard if one.embeds_AE is not None]
        if self.runner is None:
            assert self.speech_llm is not None
            answers = self.speech_llm.generate(
                [Turn(audio_AE, task_text(task)) for audio_AE in embeds], max_tokens=_MAX_ANSWER_TOKENS
            )
        else:
            prompt = LLMPrompt(self.config.prompt, self.tokenizer, self.table_VE, self.speech_llm, task=task)
            rows = [
                DraftedPrompt(embeds_LE=prompt.embed(audio_AE), drafts=[], max_tokens=_MAX_ANSWER_TOKENS)
                for audio_AE in embeds
            ]
            decoded = decode(self.runner, rows, end_id=prompt.end_id, end_ids=prompt.end_ids)
            answers = [one.token_ids for one in decoded]
        return [decode_transcript(self.tokenizer, token_ids) for token_ids in answers]

    def _describe(self, waveform: Waveform, describer: Describer) -> str:
        """What is probable enough to be said of one recording."""
        assert self.encoder is not None, "this model was built without its encoder"
        block = self.config.encoder.stored_block
        frozen = self.encoder if block is None else self.encoder.until(block)
        features, feature_lengths_1 = self.encoder.features([waveform])
        device = self.table_VE.device
        with torch.autocast(device.type, dtype=self._half, enabled=self._half is not None):
            first = frozen(features.to(device), feature_lengths_1.to(device))
            output = first if block is None else self.encoder.resume(first.last_hidden_state, first.lengths, block)
        (facts,) = describer.describe(first.last_hidden_state, first.lengths)
        (heard,) = self._hear(output.last_hidden_state.float(), output.lengths)
        if heard.posteriors is not None and (pace := self._pace(heard.draft, heard.posteriors)) is not None:
            facts["pace"] = pace
        return describe(facts)

    def _pace(self, text: str, posteriors: FramePosteriors) -> str | None:
        """From the first frame in which something is said to the last."""
        spoken = (posteriors.blank_A < posteriors.top_log_probs_AK[:, 0]).nonzero().flatten().tolist()
        if not spoken:
            return None
        frame_duration = self.config.audio_downsample_rate / self.config.encoder.frame_rate
        return pace_of(text, (spoken[-1] - spoken[0] + 1) * frame_duration)

    def _hear_waveforms(self, waveforms: Sequence[Waveform]) -> list[_Heard]:
        assert self.encoder is not None, "this model was built without its encoder"
        # On a CPU a batch is no faster than its rows, and a row alone has the same last bit whatever stands beside it:
        # 8-bit rounding would make a difference of it.
        size = 1 if self.table_VE.device.type == "cpu" else len(waveforms)
        heard: list[_Heard] = []
        for first in range(0, len(waveforms), size):
            features, feature_lengths_B = self.encoder.features(waveforms[first : first + size])
            device = self.table_VE.device
            with torch.autocast(device.type, dtype=self._half, enabled=self._half is not None):
                output = self.encoder(features.to(device), feature_lengths_B.to(device))
            heard += self._hear(output.last_hidden_state.float(), output.lengths)
        return heard

    def _embedded(self, one: _Heard) -> _Heard:
        """With what the language model reads, also where the CTC heard no words."""
        if one.embeds_AE is not None:
            return one
        assert one.projected is not None
        assert one.posteriors is not None
        hidden_AE, _, residual_AE = (output[0] for output in one.projected)
        threshold = self.config.decoding.blank_threshold
        embeds_AE = embed_frames(hidden_AE, residual_AE, one.posteriors, self.ctc_table_VE, blank_threshold=threshold)
        return replace(one, embeds_AE=embeds_AE)

    @torch.inference_mode()
    def transcribe_features(
        self, encoder_BTD: Tensor, lengths_B: Tensor, waveforms: Sequence[Waveform] | None = None
    ) -> list[Hypothesis]:
        """Transcribe encoder output, of which `lengths_B` frames a row are real.

        Args:
            encoder_BTD: encoder output.
            lengths_B: real frames of each row.
            waveforms: what the encoder read, for word times and for deciding whether anything was said.
        """
        return self._understand(self._hear(encoder_BTD, lengths_B), waveforms, ())

    def _hear(self, encoder_BTD: Tensor, lengths_B: Tensor) -> list[_Heard]:
        """What the projector makes of each row, and the texts that the CTC finds in it."""
        projected = self.projector(encoder_BTD, lengths_B)
        token_lengths = self.projector.output_lengths(lengths_B).tolist()
        if not isinstance(projected, Projected):
            rate = self.config.encoder.frame_rate
            return [
                _Heard(embeds_AE=row_AE[:length], max_tokens=token_cap.max_tokens(num_frames / rate))
                for row_AE, length, num_frames in zip(projected, token_lengths, lengths_B.tolist(), strict=True)
            ]
        projected = Projected(*(output.float() for output in projected))
        letters = self._letters(encoder_BTD, lengths_B)
        return [
            self._hear_ctc(Projected(*(output[row : row + 1, :length] for output in projected)), letters[row])
            for row, length in enumerate(token_lengths)
        ]

    def _letters(self, encoder_BTD: Tensor, lengths_B: Tensor) -> list[CharacterPosteriors | None]:
        """Of each row, where they have a say."""
        if self.characters is None:
            return [None] * len(encoder_BTD)
        return [*self.characters.posteriors(encoder_BTD, lengths_B)]

    def _hear_ctc(self, one: Projected, letters: CharacterPosteriors | None = None) -> _Heard:
        hidden_AE, blank_A, residual_AE = (output[0] for output in one)
        posteriors = frame_posteriors(hidden_AE, blank_A, self.ctc_table_VE, head=self._head)
        draft = decode_transcript(self.tokenizer, posteriors.greedy_ids())
        is_heard = draft or (letters is not None and letters.clarity().is_clear)
        if not is_heard or not (self._has_llm or letters is not None):
            return _Heard(projected=one, posteriors=posteriors, draft=draft)
        decoding = self.config.decoding
        candidates = text_candidates(
            one,
            posteriors,
            letters,
            tokenizer=self.tokenizer,
            ctc_tokenizer=self.ctc_tokenizer,
            table_VE=self.ctc_table_VE,
            decoding=decoding,
        )
        heard = _Heard(projected=one, posteriors=posteriors, draft=draft, candidates=candidates, letters=letters)
        if not self._has_llm:
            return heard
        return replace(
            heard,
            embeds_AE=embed_frames(
                hidden_AE, residual_AE, posteriors, self.ctc_table_VE, blank_threshold=decoding.blank_threshold
            ),
            max_tokens=len(blank_A),  # more tokens than CTC frames can be in no audio
        )

    @property
    def _has_llm(self) -> bool:
        return self.runner is not None or self.speech_llm is not None

    def _understand(
        self, heard: Sequence[_Heard], waveforms: Sequence[Waveform] | None, hotwords: Sequence[str]
    ) -> list[Hypothesis]:
        """Ask the language model about all rows that have something to say, and decide."""
        judged = self._judge(heard)
        if hotwords:
            self._try_hotwords([one for one in judged if one.listened is not None], hotwords)
        rows: Sequence[Waveform | None] = waveforms or [None] * len(heard)
        return [self._decide(one, waveform, hotwords) for one, waveform in zip(judged, rows, strict=True)]

    def _judge(self, heard: Sequence[_Heard], *, with_sound: bool = False) -> list[_Judged]:
        """What CTC and language model think of the texts that each row may be; nothing is decided yet.

        Args:
            heard: the rows.
            with_sound: read the last texts with the sound too, also where that does not count.
        """
        judged = [_Judged(heard=one) for one in heard]
        asked = [one for one in judged if one.heard.embeds_AE is not None]
        self._first_look(asked)
        last = [(one, candidates) for one in asked if (candidates := self._finalists(one))]
        self._read(last, with_sound=with_sound)
        return judged

    def _first_look(self, judged: Sequence[_Judged]) -> None:
        """Read the candidates as texts, as far as each differs from the first, and that one with the sound too.

        Where there are none, the language model writes a text.
        """
        with_candidates = [one for one in judged if one.heard.candidates]
        questions = [Question(texts=list(one.heard.candidates), is_local=True) for one in with_candidates]
        questions += [
            Question(
                audio_AE=one.heard.embeds_AE,
                texts=list(one.heard.candidates)[:1],
                max_tokens=0 if one.heard.candidates else one.heard.max_tokens,
            )
            for one in judged
        ]
        answers = self._ask(questions)
        for one, answer in zip(with_candidates, answers, strict=False):
            heard = heard_scores(one.heard.candidates, one.heard.letters)
            one.estimated = {
                text: replace(scores, text=log_prob)
                for (text, scores), log_prob in zip(heard.items(), answer.draft_log_probs, strict=True)
            }
        for one, answer in zip(judged, answers[len(with_candidates) :], strict=True):
            one.listened = answer
            one.num_passes += answer.num_passes
            one.heard = replace(one.heard, cache=answer.cache)
            if not one.heard.candidates:
                written = decode_transcript(self.tokenizer, answer.token_ids)
                one.scores = {written: CandidateScores(llm=answer.log_prob, ctc=0.0)}

    def _read(self, judged: Sequence[tuple[_Judged, Mapping[str, float]]], *, with_sound: bool = False) -> None:
        """Score texts, given with their CTC log-probability, as far as they differ from the first.

        With the sound too where that counts, or if it is asked for.
        """
        with_sound = with_sound or self.config.decoding.llm_weight != 0
        questions = [Question(texts=list(candidates), is_local=True) for _, candidates in judged]
        if with_sound:
            questions += [
                Question(audio_AE=one.heard.embeds_AE, texts=list(candidates), is_local=True, cache=one.heard.cache)
                for one, candidates in judged
            ]
        answers = iter(self._ask(questions))
        alone = [next(answers).draft_log_probs for _ in judged]
        listened = [next(answers).draft_log_probs if with_sound else [0.0] * len(texts) for _, texts in judged]
        for (one, candidates), of_texts, of_sounds in zip(judged, alone, listened, strict=True):
            heard = heard_scores(candidates, one.heard.letters)
            for (text, scores), of_text, of_sound in zip(heard.items(), of_texts, of_sounds, strict=True):
                one.scores[text] = replace(scores, text=of_text, llm=of_sound)
            one.num_passes += 1

    def _ask(self, questions: Sequence[Question]) -> list[Decoded]:
        if not questions:
            return []
        assert self._answers is not None, "this mode has no language model"
        return self._answers.ask(questions)

    def _gains(self, one: _Judged) -> tuple[str, dict[str, float]]:
        """The CTC's best text, and how much higher than it each change of it scores."""
        decoding = self.config.decoding
        totals = {text: total_score(text, scores, decoding) for text, scores in one.estimated.items()}
        (text, total), *others = totals.items()
        return text, {other: gained - total for other, gained in others}

    @torch.inference_mode()
    def consider(self, waveform: Waveform) -> Considered:
        """The texts that a 16 kHz waveform of 0.1 to 30 s may be, with what each part of the model thinks of them."""
        (one,) = self._judge(self._hear_waveforms([waveform]), with_sound=True)
        return Considered(draft=one.heard.draft, scores=one.scores, estimated=one.estimated)

    def _finalists(self, one: _Judged) -> dict[str, float]:
        """Texts that may be the best, with their CTC log-probability: one, then such as differ from it in one place."""
        heard = one.heard
        if heard.projected is None or heard.posteriors is None or not one.estimated:
            return {}
        assert one.listened is not None
        text, gains = self._gains(one)
        words = heard.letters.words if heard.letters is not None else None
        best, *others = finalists(text, gains, words)
        expected = as_guessed(encode_transcript(self.tokenizer, text), one.listened.guesses)
        guessed = with_others(text, [decode_transcript(self.tokenizer, token_ids) for token_ids in expected], gains)
        ctc = {text: heard.candidates[text]} | self._ctc_log_probs(heard, [best, *others, *filter(None, guessed)])
        scores = heard_scores({best: ctc.get(best, 0.0)} | ctc, heard.letters)
        sure = {text, best, *others}
        by_sound = sorted(ctc, key=lambda other: -heard_score(other, scores[other], self.config.decoding))
        likely = [other for other in by_sound if other not in sure][:_MAX_GUESSED]
        known = {other: ctc[other] for other in ctc if other in sure or other in likely}
        # A text that no longer fits into the CTC's frames is none.
        return ({best: known[best]} if best in known else {}) | known

    def _ctc_log_probs(self, heard: _Heard, texts: Sequence[str]) -> dict[str, float]:
        assert heard.projected is not None
        assert heard.posteriors is not None
        return ctc_log_probs(texts, heard.projected, heard.posteriors, self.ctc_table_VE, self.ctc_tokenizer)

    def _try_hotwords(self, asked: Sequence[_Judged], hotwords: Sequence[str]) -> None:
        """Score what each text would be with a hotword in it; the same again where one has been taken up."""
        waiting = [(one, self._choose(one, hotwords)) for one in asked]
        for _ in range(_MAX_HOTWORDS):
            found = [
                (one, text, candidates)
                for one, text in waiting
                if (candidates := self._hotword_candidates(one, text, hotwords))
            ]
            self._read([(one, candidates) for one, _, candidates in found])
            texts = [self._choose(one, hotwords) for one, _, _ in found]
            waiting = [(one, text) for (one, before, _), text in zip(found, texts, strict=True) if text != before]

    def _hotword_candidates(self, one: _Judged, text: str, hotwords: Sequence[str]) -> dict[str, float]:
        heard, beside = one.heard, one.scores[text].ctc
        assert heard.projected is not None
        assert heard.posteriors is not None
        found = hotword_candidates(
            text, hotwords, heard.projected, heard.posteriors, self.ctc_table_VE, self.ctc_tokenizer, beside=beside
        )
        return {variant: ctc for variant, ctc in found.items() if variant not in one.scores}

    def _choose(self, one: _Judged, hotwords: Sequence[str]) -> str:
        """The text that CTC and language model together find most probable."""
        decoding = self.config.decoding
        bonuses = {text: decoding.hotword_bonus * count_hotwords(text, hotwords) for text in one.scores}
        return choose_text(one.scores, decoding=decoding, bonuses=bonuses)

    def _decide(self, judged: _Judged, waveform: Waveform | None, hotwords: Sequence[str]) -> Hypothesis:
        """The chosen text, unless it cannot be."""
        one, scores = judged.heard, judged.scores
        if scores:
            text = self._choose(judged, hotwords)
        elif one.letters is not None:
            text = text_by_sound(one.candidates, one.letters, self.config.decoding)
        else:
            text = one.draft
        spelt = one.letters.greedy_text() if one.letters is not None else ""
        checked = check_text(text, one.draft if one.posteriors is not None else None, spelt=spelt)
        text = checked.text
        silence = None
        if waveform is not None and one.posteriors is not None:
            active = active_duration(waveform)
            silence = no_speech_prob(
                one.posteriors.blank_A.cpu().numpy(), one.posteriors.top_log_probs_AK[:, 0].cpu().numpy(), active
            )
            if one.letters is not None:
                silence = min(silence, letters_no_speech_prob(one.letters.clarity(), active))
            if silence >= NO_SPEECH_THRESHOLD:
                text = ""
        mean_log_prob = None
        if text in scores:
            heard = scores[text].ctc if one.posteriors is not None else scores[text].llm
            mean_log_prob = avg_logprob(heard, len(encode_transcript(self.tokenizer, text)))
        return Hypothesis(
            text=text,
            draft=one.draft,
            no_speech=not text,
            no_speech_prob=silence,
            avg_logprob=mean_log_prob,
            flagged=checked.flagged,
            words=tuple(self._words(one, text, waveform)) if self.with_words and waveform is not None else (),
            num_passes=judged.num_passes,
        )

    def _words(self, one: _Heard, text: str, waveform: Waveform) -> list[Word]:
        words = text.split()
        if one.projected is None or one.posteriors is None:
            return word_times(words, [[] for _ in words], waveform, frame_duration=1.0)
        hidden_AE, blank_A = one.projected.hidden_BAE[0], one.projected.blank_BA[0]
        spans = align_words(
            hidden_AE, blank_A, words, self.ctc_tokenizer, self.ctc_table_VE, log_blank_A=one.posteriors.blank_A
        )
        frame_duration = self.config.audio_downsample_rate / self.config.encoder.frame_rate
        return word_times(words, spans, waveform, frame_duration=frame_duration)
