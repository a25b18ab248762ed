"""NeuTTS: prompts to the id, phonemes as its authors' package has them, and what is refused."""

import shutil
import subprocess
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from support.family_tokenizers import NEUTTS_MARKERS, neutts_tokenizer
from ttsrl.config.load import load_run
from ttsrl.data.prompts import check_spoken
from ttsrl.errors import BadInput
from ttsrl.families.conditions import Conditions, VoiceReference
from ttsrl.families.neutts import EMOTIONS
from ttsrl.families.registry import family_class, load_family
from ttsrl.text import phonemes
from ttsrl.text.phonemes import phonemes_of

CODES = 65_536
ESPEAK = shutil.which("espeak-ng")
VERSION = (
    subprocess.run([ESPEAK, "--version"], capture_output=True, text=True).stdout if ESPEAK else ""
)

pytestmark = pytest.mark.skipif(not ESPEAK, reason="espeak-ng is not installed")
SPOKEN = {
    # what phonemizer 3.3's EspeakBackend makes of them, set as neutts sets it; espeak-ng 1.51
    ("en-us", "Hello, world!"): "həlˈoʊ, wˈɜːld!",
    ("en-us", "“Quoted” (aside) text: one; two…"): "“kwˈoʊɾᵻd” (ɐsˈaɪd) tˈɛkst: wˈʌn; tˈuː…",
    ("en-us", "What?! No."): "wˌʌt?! nˈoʊ.",
    ("en-us", "1,000,000 people"): "wˈʌn mˈɪliən pˈiːpəl",
    ("en-us", "v1.2, 5. x"): "vˈiː wˈʌn pɔɪnt tˈuː, fˈaɪv. ˈɛks",
    ("en-us", "two  spaces\tand tab"): "tˈuː spˈeɪsᵻz ænd tˈæb",
    ("de", "Das Meeting im Office ist um 12:30 Uhr."): (
        "das mˈeːtɪŋ ɪm ˈɒfɪs ɪst ʊm tsvˈœlf:dɾˈaɪsɪç ˈuːɾ."
    ),
    ("fr", "Bonjour, comment ça va ?"): "bɔ̃ʒˈuʁ, kɔmˌɑ̃ sa vˈa ?",
    ("es", "¿Cómo estás? ¡Bien!"): "¿kˈomo estˈas? ¡bjˈen!",
}


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    return neutts_tokenizer(request.param, tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.skipif(": 1.51 " not in VERSION, reason="another version may pronounce otherwise")
@pytest.mark.parametrize(("voice", "text"), SPOKEN)
def test_phonemes_are_those_of_its_package(voice: str, text: str) -> None:
    assert phonemes_of(text, voice) == SPOKEN[voice, text]


def test_prompts_are_those_of_its_package(tokenizer: PreTrainedTokenizerBase) -> None:
    """`_apply_chat_template` of neutts 1.2, whose placeholders are replaced id by id."""
    vocabulary = tokenizer.get_vocab()
    chat = "user: Convert the text to speech:<|TEXT_REPLACE|>\nassistant:<|SPEECH_REPLACE|>"
    ids = tokenizer.encode(chat)
    spoken = phonemes_of("So I'm Dave.", "en-us") + " " + phonemes_of("What? No.", "en-us")
    text = [
        vocabulary["<|TEXT_PROMPT_START|>"],
        *tokenizer.encode(spoken, add_special_tokens=False),
        vocabulary["<|TEXT_PROMPT_END|>"],
    ]
    at, end = ids.index(vocabulary["<|TEXT_REPLACE|>"]), vocabulary["<|SPEECH_GENERATION_START|>"]
    codes = [vocabulary[f"<|speech_{n}|>"] for n in (7, 65_535)]
    expected = [*ids[:at], *text, *ids[at + 1 : -1], end, *codes]
    family = load_family("neutts", tokenizer, CODES)
    reference = Conditions(reference=VoiceReference("So I'm Dave.", [7, 65_535]))
    assert family.prompt_ids("What? No.", conditions=reference) == expected
    assert family.stop_token_ids == [vocabulary["<|SPEECH_GENERATION_END|>"]]
    assert family.speech_token_ids.start == vocabulary["<|speech_0|>"]


def test_french_has_no_dashes_and_each_language_its_model() -> None:
    assert family_class("neutts-fr").messages("Le week-end.")[0]["content"] == "lə wˈiːkˈɛnd."
    spoken = {name: family_class(name).languages for name in ("neutts", "neutts-de", "neutts-es")}
    assert spoken == {"neutts": {"en"}, "neutts-de": {"de"}, "neutts-es": {"es"}}


def test_a_text_is_not_told_in_the_phonemes_of_another_language() -> None:
    run = load_run("examples/tiny/run.json", ['languages=["de", "en"]'])
    neutts, written = (run.model_copy(update={"family": f}) for f in ("neutts", "neutts-2e"))
    check_spoken(neutts, "Good morning.", "en")
    check_spoken(written, "Guten Morgen.", "de")
    with pytest.raises(BadInput, match=r"told the phonemes of 'en'; .* neutts-de \('de'\)"):
        check_spoken(neutts, "Guten Morgen.", "de")


def test_without_espeak_or_its_language_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"'xx-none': it has no such voice; `espeak-ng --voices`"):
        phonemes_of("hello", "xx-none")
    monkeypatch.setattr(phonemes, "find_library", lambda name: "libnone.so.9")
    phonemes._library.cache_clear()
    with pytest.raises(BadInput, match="apt-get install espeak-ng"):
        family_class("neutts").messages("Not yet said.")
    monkeypatch.undo()
    phonemes._library.cache_clear()


def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"not a tokenizer of NeuTTS: it lacks <\|TEXT_PROMPT_START\|>"
    ):
        load_family("neutts", neutts_tokenizer("qwen2", tmp_path, markers=()))


def test_2e_is_told_an_emotion_between_the_texts(tmp_path: Path) -> None:
    """The prompt of the implementations of neutts-2e: written text, and no chat around it."""
    emotions = [f"<|{name.upper()}|>" for name in EMOTIONS]
    tokenizer = neutts_tokenizer("qwen2", tmp_path, markers=(*NEUTTS_MARKERS, *emotions))
    family = load_family("neutts-2e", tokenizer, CODES)

    def ids(prompt: str) -> list[int]:
        return tokenizer.encode(prompt, add_special_tokens=False)

    start, end = "<|TEXT_PROMPT_START|>", "<|TEXT_PROMPT_END|><|SPEECH_GENERATION_START|>"
    assert family.prompt_ids("It’s me.") == ids(f"{start}<|NEUTRAL|>It's me.{end}")
    told = Conditions(style="Happy", reference=VoiceReference("I am Emily.", [5]))
    expected = ids(f"{start}I am Emily.<|HAPPY|>It's me.{end}<|speech_5|>")
    assert family.prompt_ids("It's me.", conditions=told) == expected
    with pytest.raises(BadInput, match=r'"bored" is not an emotion of NeuTTS-2E.*angry'):
        family.prompt_ids("It's me.", conditions=Conditions(style="bored"))
    with pytest.raises(BadInput, match=r"not a tokenizer of NeuTTS-2E: it lacks <\|NEUTRAL\|>"):
        load_family("neutts-2e", neutts_tokenizer("qwen2", tmp_path / "air"))
