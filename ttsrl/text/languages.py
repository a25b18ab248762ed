"""The languages that can be measured, and what their writing asks of normalisation."""

from __future__ import annotations

import difflib
import re

from ttsrl.errors import BadInput

LANGUAGES = {
    "af": "Afrikaans",
    "am": "Amharic",
    "ar": "Arabic",
    "as": "Assamese",
    "az": "Azerbaijani",
    "ba": "Bashkir",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "bo": "Tibetan",
    "br": "Breton",
    "bs": "Bosnian",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fo": "Faroese",
    "fr": "French",
    "gl": "Galician",
    "gu": "Gujarati",
    "ha": "Hausa",
    "haw": "Hawaiian",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "ht": "Haitian Creole",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "jw": "Javanese",
    "ka": "Georgian",
    "kk": "Kazakh",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Korean",
    "la": "Latin",
    "lb": "Luxembourgish",
    "ln": "Lingala",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mg": "Malagasy",
    "mi": "Maori",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mn": "Mongolian",
    "mr": "Marathi",
    "ms": "Malay",
    "mt": "Maltese",
    "my": "Myanmar",
    "ne": "Nepali",
    "nl": "Dutch",
    "nn": "Nynorsk",
    "no": "Norwegian",
    "oc": "Occitan",
    "pa": "Punjabi",
    "pl": "Polish",
    "ps": "Pashto",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sa": "Sanskrit",
    "sd": "Sindhi",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sn": "Shona",
    "so": "Somali",
    "sq": "Albanian",
    "sr": "Serbian",
    "su": "Sundanese",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "tg": "Tajik",
    "th": "Thai",
    "tk": "Turkmen",
    "tl": "Tagalog",
    "tr": "Turkish",
    "tt": "Tatar",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "uz": "Uzbek",
    "vi": "Vietnamese",
    "yi": "Yiddish",
    "yo": "Yoruba",
    "yue": "Cantonese",
    "zh": "Chinese",
}
"""Code -> name of every language that can be measured: Whisper's."""

UNSPACED = frozenset(["bo", "ja", "km", "lo", "my", "th", "yue", "zh"])
"""Written without spaces between words."""

BY_CHARACTER = UNSPACED | {"ko"}
"""Compared without spaces, and a word is one character: spaces there are absent or optional."""

OPTIONAL_MARKS = frozenset(["ar", "fa", "he", "ps", "sd", "ur", "yi"])
"""Vowel marks are rarely written, and never heard as such."""


def language_of(name: str) -> str:
    """The code of a language that data calls by its code, its English name, or a tag of BCP 47.

    `Chinese` (Lhotse) is zh, `pt-BR` (Common Voice, NeMo) pt. Raises BadInput for another name, and
    for zh-HK, which may be Cantonese or Mandarin.
    """
    code, *region = re.split("[-_]", name.strip())
    names = {title.lower(): known for known, title in LANGUAGES.items()}
    if name.strip().lower().replace("_", "-") == "zh-hk":
        raise BadInput(f"language {name!r} may be Cantonese or Mandarin; write 'yue' or 'zh'")
    if region and code.lower() in LANGUAGES:
        return code.lower()
    if name.strip().lower() in names:
        return names[name.strip().lower()]
    check_language(name)
    return name


def check_language(language: str) -> None:
    """Refuse a code that is not in `LANGUAGES`, naming the code that was probably meant."""
    if language in LANGUAGES:
        return
    codes = {name.lower(): code for code, name in LANGUAGES.items()}
    guess = re.split("[-_]", language.strip().lower())[0]
    near = difflib.get_close_matches(guess, [*LANGUAGES, *codes], n=1, cutoff=0.6)
    hint = f"did you mean {codes.get(near[0], near[0])!r}? " if near else ""
    raise BadInput(
        f"language {language!r} is not supported; {hint}Known codes: {', '.join(LANGUAGES)}"
    )
