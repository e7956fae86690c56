"""Run a clip through a model and keep what comes out of each part.

Shapes: as in `trace`.
"""

import torch
from torch import Tensor

from tiny_audio.audio.timebase import samples_to_seconds
from tiny_audio.explain.trace import Candidate, PromptView, Trace, Written
from tiny_audio.explain.tracing_ctc import trace_ctc
from tiny_audio.explain.views import (
    NUM_GUESSES,
    ctc_view,
    encode_clip,
    guesses_of,
    most_active,
    nearest_tokens,
    spoken,
    stage,
)
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.ctc_alignment import align_words
from tiny_audio.models.ctc_model import CTCModel
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.joint_decoding import total_score
from tiny_audio.models.posteriors import frame_posteriors, kept_frames
from tiny_audio.models.projectors.aligned import Projected
from tiny_audio.text.prompts import encode_transcript
from tiny_audio.types import Seconds, Waveform


@torch.inference_mode()
def trace_clip(model: ASRModel | CTCModel, waveform: Waveform) -> Trace:
    """Run a clip through a model and keep what comes out of each part; float32, so the last digit is the model's own.

    Args:
        model: in evaluation mode.
        waveform: 16 kHz, at least 0.1 s, and no more than the encoder hears at once.

    Raises:
        AudioError: too short or too long for the encoder.
    """
    return trace_ctc(model, waveform) if isinstance(model, CTCModel) else _trace_asr(model, waveform)


def _trace_asr(model: ASRModel, waveform: Waveform) -> Trace:
    encoder = model.encoder
    assert encoder is not None, "a trace begins with the encoder"
    encoded = encode_clip(encoder, waveform)
    encoder_TD, stages = encoded.frames_TD, encoded.stages
    lengths_1 = torch.tensor([len(encoder_TD)])
    projected = model.projector(encoder_TD[None], lengths_1)
    num_tokens = int(model.projector.output_lengths(lengths_1))
    token_duration = model.config.audio_downsample_rate / encoder.frame_rate
    aligned = Projected(*(part[:, :num_tokens].float() for part in projected)) if model.is_aligned else None
    tokens_AE = (aligned.hidden_BAE if aligned else projected)[0, :num_tokens]
    stages.append(stage("Projector", tokens_AE, f"audio tokens of {1000 * token_duration:g} ms × dimensions"))
    recognizer = Recognizer(model, dtype="float32", with_words=True)
    heard = recognizer.transcribe_waveforms([waveform])[0]

    ctc = None
    kept_A = torch.ones(num_tokens, dtype=torch.bool)
    if aligned:
        posteriors = frame_posteriors(tokens_AE, aligned.blank_BA[0], model.ctc_table_VE)
        if model.speech_llm is not None:
            kept_A = kept_frames(posteriors, blank_threshold=model.config.decoding.blank_threshold)
        words = heard.text.split()
        spans = align_words(tokens_AE, aligned.blank_BA[0], words, model.ctc_tokenizer, model.ctc_table_VE)
        flat = [span for word in spans for span in word]
        pieces = [model.tokenizer.decode([span.token_id]) for span in flat]
        ctc = ctc_view(posteriors, kept_A, spoken(flat, pieces, token_duration), model.tokenizer, token_duration)

    prompt = None
    answer: tuple[Written, ...] = ()
    considered: tuple[Candidate, ...] = ()
    if model.speech_llm is not None and (heard.draft or not aligned):
        (audio_AE,) = model.audio_embeddings(projected, torch.tensor([num_tokens]), model.ctc_table_VE)
        stages.append(stage("Audio in the prompt", audio_AE, "tokens that the language model reads × dimensions"))
        prompt = _prompt_view(model, audio_AE, kept_A, token_duration)
        answer, logits_LV = _answer(model, audio_AE, heard.text)
        stages.append(stage("Language model", logits_LV, "tokens of the answer × logits of the vocabulary"))
        considered = _candidates(recognizer, waveform, heard.text) if aligned else ()
    return Trace(
        waveform=waveform,
        log_mel_MF=encoded.log_mel(waveform),
        reads_mel=encoded.num_bands is not None,
        padding=_padding(encoder, len(waveform)),
        stages=tuple(stages),
        encoder=most_active(encoder_TD, frame_duration=1 / encoder.frame_rate),
        projector=most_active(tokens_AE, frame_duration=token_duration),
        nearest=tuple(nearest_tokens(tokens_AE, model.ctc_table_VE, model.tokenizer, num_tokens=3)),
        ctc=ctc,
        prompt=prompt,
        answer=answer,
        candidates=considered,
        draft=heard.draft,
        text=heard.text,
        words=heard.words,
    )


def _padding(encoder: Encoder, num_samples: int) -> Seconds:
    if not getattr(encoder, "pad_to_window", False) or encoder.max_samples is None:
        return 0.0
    return samples_to_seconds(encoder.max_samples - num_samples)


def _prompt_view(model: ASRModel, audio_AE: Tensor, kept_A: Tensor, token_duration: Seconds) -> PromptView:
    speech_llm = model.speech_llm
    assert speech_llm is not None
    ids = speech_llm.prompt_ids(len(audio_AE))
    place = ids.index(speech_llm.audio_token_id)
    before, after = ids[:place], ids[place + len(audio_AE) :]
    nearest = nearest_tokens(audio_AE, model.table_VE, model.tokenizer, num_tokens=1)
    return PromptView(
        before=tuple(model.tokenizer.decode([token_id]) for token_id in before),
        audio=tuple(guesses[0] for guesses in nearest),
        after=tuple(model.tokenizer.decode([token_id]) for token_id in after),
        starts=tuple((kept_A.nonzero()[:, 0] * token_duration).tolist()),
    )


def _answer(model: ASRModel, audio_AE: Tensor, text: str) -> tuple[tuple[Written, ...], Tensor]:
    """Each token of the text and the end of the turn, with what the language model expected there; one pass."""
    speech_llm = model.speech_llm
    assert speech_llm is not None
    ids = [*(encode_transcript(model.tokenizer, text) if text else []), speech_llm.end_id]
    input_ids_1L = torch.tensor([[*speech_llm.prompt_ids(len(audio_AE)), *ids[:-1]]])
    embeds_1LE = speech_llm.embed(input_ids_1L, [audio_AE])
    logits_LV = speech_llm.llm(inputs_embeds=embeds_1LE, logits_to_keep=len(ids), use_cache=False).logits[0].float()
    probabilities_LV = logits_LV.softmax(dim=-1)
    top = probabilities_LV.topk(NUM_GUESSES, dim=1)
    written = tuple(
        Written(
            text=model.tokenizer.decode([token_id]),
            probability=probabilities_V[token_id].item(),
            guesses=guesses_of(model.tokenizer, guess_ids, values),
        )
        for token_id, probabilities_V, guess_ids, values in zip(
            ids, probabilities_LV, top.indices.tolist(), top.values.tolist(), strict=True
        )
    )
    return written, logits_LV


def _candidates(recognizer: Recognizer, waveform: Waveform, chosen: str) -> tuple[Candidate, ...]:
    """What CTC, letters and language model thought of each text, the chosen one first, then the best."""
    considered = recognizer.consider(waveform)
    decoding = recognizer.config.decoding
    found = [
        Candidate(
            text=text,
            scores=scores,
            total=total_score(text, scores, decoding),
        )
        for text, scores in considered.scores.items()
    ]
    return tuple(sorted(found, key=lambda candidate: (candidate.text != chosen, -candidate.total)))
