"""A perfect reading of each text that is taken can have CER 0; what Whisper cannot hold is not.

The texts grow word by word, in the scripts of Whisper's languages, until they are refused.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import WhisperConfig

from ttsrl.data.hearing import WINDOW_S, Hearing
from ttsrl.scorers.whisper.tokens import WhisperTokens
from ttsrl.text.normalise import cer
from ttsrl.text.speaking import speaking_s

SENTENCES = {
    "en": "he was not an ill disposed young man",
    "ru": "он не был злым молодым человеком",
    "el": "δεν ήταν κακός νέος άνθρωπος",
    "hy": "նա վատ երիտասարդ չէր",
    "ka": "ის არ იყო ცუდი ახალგაზრდა კაცი",
    "he": "הוא לא היה איש צעיר רע",
    "ar": "لم يكن شابا سيئ الخلق",
    "am": "እሱ መጥፎ ወጣት አልነበረም",
    "hi": "वह बुरा युवक नहीं था",
    "bn": "সে খারাপ যুবক ছিল না",
    "ta": "அவன் கெட்ட இளைஞன் அல்ல",
    "ml": "അവൻ ഒരു മോശം ചെറുപ്പക്കാരനായിരുന്നില്ല",
    "th": "เขา ไม่ใช่ ชายหนุ่ม ที่ ใจร้าย",
    "km": "គាត់ មិនមែន ជា យុវជន អាក្រក់ ទេ",
    "my": "သူ သည် ဆိုးသော လူငယ် မဟုတ်ပါ",
    "ko": "그는 나쁜 청년이 아니었다",
    "ja": "彼は わるい わかもの では なかった",
    "zh": "他 不是 一个 心地 不好的 年轻人",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_perfect_reading_of_what_is_taken_has_cer_0(whisper_base: Path, language: str) -> None:
    tokens = WhisperTokens(whisper_base, WhisperConfig.from_pretrained(whisper_base))
    hearing = Hearing("reward.whisper", tokens)
    words = SENTENCES[language].split() * 100
    counts = range(1, len(words))
    longest = next(n for n in counts if hearing.too_much(" ".join(words[:n]), language)) - 1
    text, next_text = (" ".join(words[:n]) for n in (longest, longest + 1))
    assert speaking_s(text) <= WINDOW_S
    target = tokens.target(text, language)[:-1]
    most = tokens.max_new(len(tokens.prompt(language)))
    transcript = tokens.decode(target[:most])
    assert cer(text, transcript, language) == 0
    beyond = hearing.too_much(next_text, language)
    assert beyond is not None and beyond[1] > (most if "tokens" in beyond[0] else WINDOW_S)


@pytest.mark.parametrize("language", ["my", "am", "ka", "km", "ml"])
def test_150_characters_of_three_byte_letters_are_refused(
    whisper_base: Path, language: str
) -> None:
    tokens = WhisperTokens(whisper_base, WhisperConfig.from_pretrained(whisper_base))
    text = " ".join(SENTENCES[language].split() * 20)[:150]
    found = Hearing("reward.whisper", tokens).too_much(text, language)
    assert found is not None and found[0].startswith("has more than the 224 tokens")
    cut = tokens.decode(tokens.target(text, language)[:224])
    assert cer(text, cut, language) > 0.1
