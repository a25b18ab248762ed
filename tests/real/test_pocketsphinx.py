"""PocketSphinx as a judge, with its own weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from examples.tiny.domain import held_out, read_texts
from examples.tiny.phrases import PATH as PHRASES
from examples.tiny.word_tokens import say as say_right
from support.paths import TINY
from support.speech import RATE_HZ, SpokenClip, say
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.tiny import TinyCodec
from ttsrl.config.evaluation import JudgeConfig
from ttsrl.config.load import load_run
from ttsrl.data.prompts import prepare
from ttsrl.errors import BadInput
from ttsrl.evaluation.judge import Judge
from ttsrl.evaluation.protocol import protocol_of
from ttsrl.evaluation.suites import SuiteText, held_out_suite
from ttsrl.models.packaged import packaged_model
from ttsrl.scorers.reference import voice
from ttsrl.scorers.registry import load_judge
from ttsrl.text.normalise import cer

CONFIG = JudgeConfig(name="hmm", type="pocketsphinx", model="pocketsphinx")
OF_PHRASES = CONFIG.model_copy(update={"language_model": str(PHRASES)})


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(CONFIG, "cpu", 4)


def heard(judge: Judge, waveforms: list[Waveform], rate_hz: int = RATE_HZ) -> list[str]:
    return judge.recogniser.transcribe(waveforms, rate_hz, ["en"] * len(waveforms))


def test_a_person_s_sentence_is_heard_as_by_a_new_decoder_whatever_came_before(
    judge: Judge, librivox: list[SpokenClip]
) -> None:
    from pocketsphinx import Decoder

    clip = librivox[0].waveform[: 2 * RATE_HZ]
    decoder = Decoder(loglevel="FATAL")
    decoder.start_utt()
    pcm = np.rint(clip * 32_767).astype(np.int16).tobytes()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    assert found is not None
    assert heard(judge, [clip, voice(1.0), clip])[::2] == [found.hypstr] * 2
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda waveform: heard(judge, [waveform])[0], [clip, clip]))
    assert said == [found.hypstr] * 2


def test_most_words_of_a_person_are_right_and_those_of_another_text_are_not(
    judge: Judge, librivox: list[SpokenClip]
) -> None:
    transcripts = heard(judge, [clip.waveform for clip in librivox])
    right = [cer(clip.text, said, "en") for clip, said in zip(librivox, transcripts, strict=True)]
    other = [
        cer(clip.text, said, "en")
        for clip, said in zip(librivox, transcripts[1:] + transcripts[:1], strict=True)
    ]
    assert np.mean(right) < 0.4 < 0.6 < np.mean(other)


def test_another_sample_rate_and_more_than_half_a_minute_are_heard(
    judge: Judge, librivox: list[SpokenClip]
) -> None:
    clip = librivox[4]
    faster = resample(clip.waveform, RATE_HZ, 24_000)
    assert cer(clip.text, heard(judge, [faster], 24_000)[0], "en") < 0.3
    longer = np.concatenate([clip.waveform] * 11)
    assert len(longer) > 30 * RATE_HZ
    assert cer(" ".join([clip.text] * 11), heard(judge, [longer])[0], "en") < 0.3


def test_a_word_outside_the_dictionary_is_heard_as_others(judge: Judge, tmp_path: Path) -> None:
    clip = say(tmp_path, "flite", "slt", "The qubit decohered.")
    (transcript,) = heard(judge, [clip.waveform])
    dictionary = packaged_model("pocketsphinx") / "cmudict-en-us.dict"
    words = {line.split()[0] for line in dictionary.read_text().splitlines()}
    assert transcript and set(transcript.split()) <= words
    assert "qubit" not in words


def test_another_language_is_refused_by_name_and_before_anything_is_spoken(judge: Judge) -> None:
    with pytest.raises(BadInput, match="hears English alone, and a text is in 'de'"):
        judge.recogniser.transcribe([np.zeros(16_000, np.float32)] * 2, 16_000, ["en", "de"])
    english, german = SuiteText(0, "one", "en", None), SuiteText(1, "zwei", "de", None)
    judge.check_languages([english])
    with pytest.raises(BadInput, match=r"judge 'hmm' hears en alone.*zwei.*is in 'de'"):
        judge.check_languages([english, german])


def test_another_model_is_refused() -> None:
    with pytest.raises(BadInput, match="not with openai/whisper-base; set its model to"):
        load_judge(CONFIG.model_copy(update={"model": "openai/whisper-base"}))


def test_what_is_no_speech_has_no_word(judge: Judge) -> None:
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    hum = (0.3 * np.sin(2 * np.pi * 50 * t)).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.05, len(t)).astype(np.float32)
    quiet = [np.zeros(samples, np.float32) for samples in (1, 100, 409, 16_000)]
    assert heard(judge, [hum, noise, *quiet]) == [""] * 6


def test_a_language_model_of_the_domain_makes_few_errors_of_many(judge: Judge) -> None:
    texts = [text for text in read_texts() if held_out(text.split())][:16]
    codec = TinyCodec.load(str(TINY / "codec"))
    spoken = codec.decode([say_right(text.split()) for text in texts])
    with_phrases = Judge(OF_PHRASES, "cpu", 4)  # sixteen: heard by processes, which load it too

    def errors(by: Judge, waveforms: list[Waveform]) -> float:
        said = heard(by, waveforms, codec.sample_rate_hz)
        assert by is judge or {*" ".join(said).split()} <= {*" ".join(read_texts()).split()}
        return float(np.mean([cer(t, s, "en") for t, s in zip(texts, said, strict=True)]))

    assert errors(with_phrases, spoken) < 0.2
    wrong = [spoken[-1], *spoken[:-1]]  # it writes what was said, not what is often said
    assert errors(with_phrases, wrong) > 0.5
    texts, spoken = texts[:4], spoken[:4]
    assert errors(judge, spoken) > 0.4


@pytest.mark.parametrize(
    ("text", "said"),
    ids=["absent", "no ARPA", "unknown word"],
    argvalues=[
        (None, r"none\.arpa is not a file; give an ARPA file"),
        ("two birds walk\n", r"is not an ARPA file: no word stands below"),
        (
            "\\data\\\nngram 1=3\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 bird\n-1 Vögel\n\n\\end\\\n",
            r"words that PocketSphinx's dictionary lacks: Vögel \(1 of 4\); write them",
        ),
    ],
)
def test_a_language_model_that_is_none_is_refused(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "none.arpa"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=said):
        load_judge(CONFIG.model_copy(update={"language_model": str(path)}))


def test_another_language_model_is_another_protocol(tmp_path: Path) -> None:
    other = tmp_path / "other.arpa"
    other.write_text(PHRASES.read_text().replace("-1.5910 two", "-1.5911 two"))
    judges = [CONFIG, OF_PHRASES, CONFIG.model_copy(update={"language_model": str(other)})]
    runs = [load_run(TINY / "run.json", [f"eval.judges=[{j.model_dump_json()}]"]) for j in judges]
    prepare(runs[0], tmp_path)
    suites = [held_out_suite(run, tmp_path / "held_out.parquet") for run in runs]
    protocols = {protocol_of(run, suite) for run, suite in zip(runs, suites, strict=True)}
    assert len(protocols) == len(judges)


def test_a_run_may_name_it_as_a_judge() -> None:
    run = load_run(TINY / "run.json", [f"eval.judges=[{CONFIG.model_dump_json()}]"])
    assert run.eval.judges == [CONFIG]
