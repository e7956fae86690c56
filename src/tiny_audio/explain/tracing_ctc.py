"""The trace of a CTC recogniser: an encoder and its head."""

import torch

from tiny_audio.explain.trace import Trace
from tiny_audio.explain.views import NUM_GUESSES, ctc_view, encode_clip, most_active, spoken, stage
from tiny_audio.models.ctc_alignment import TokenSpan, viterbi
from tiny_audio.models.ctc_model import CTCModel
from tiny_audio.models.posteriors import FramePosteriors
from tiny_audio.text.ctc_units import BLANK_ID
from tiny_audio.types import Waveform


def trace_ctc(model: CTCModel, waveform: Waveform) -> Trace:
    """The encoder and its CTC head: there is no projector and no language model."""
    encoded = encode_clip(model.encoder, waveform)
    log_probs_AV = model(*model.encoder.features([waveform])).log_probs()[0]
    log_probs_AV = log_probs_AV[: int(model.output_lengths(torch.tensor([len(waveform)])))]
    encoded.stages.append(stage("CTC head", log_probs_AV, "CTC frames × log-probabilities of the blank and the units"))
    (heard,) = model.transcribe_waveforms([waveform])
    labels = model.units.encode(heard.text)
    log_probs = log_probs_AV.numpy()
    spans = [
        TokenSpan(
            token_id=label,
            start_frame=start,
            end_frame=end,
            centre=(start + end) / 2,
            log_prob=float(log_probs[start:end, label].max()),
        )
        for label, (start, end) in zip(labels, viterbi(log_probs, labels, blank=BLANK_ID), strict=True)
    ]
    frame_duration = 1 / model.frame_rate
    top = log_probs_AV[:, BLANK_ID + 1 :].topk(min(NUM_GUESSES, log_probs_AV.shape[1] - 1), dim=1)
    posteriors = FramePosteriors(
        blank_A=log_probs_AV[:, BLANK_ID],
        top_log_probs_AK=top.values,
        top_ids_AK=top.indices + BLANK_ID + 1,
    )
    alignment = spoken(spans, [model.units.decode([span.token_id]) for span in spans], frame_duration)
    kept_A = torch.ones(len(log_probs), dtype=torch.bool)
    return Trace(
        waveform=waveform,
        log_mel_MF=encoded.log_mel(waveform),
        reads_mel=True,
        padding=0.0,
        stages=tuple(encoded.stages),
        encoder=most_active(encoded.frames_TD, frame_duration=1 / model.encoder.frame_rate),
        projector=None,
        nearest=(),
        ctc=ctc_view(posteriors, kept_A, alignment, model.units, frame_duration),
        prompt=None,
        answer=(),
        candidates=(),
        draft=heard.draft,
        text=heard.text,
        words=(),
    )
