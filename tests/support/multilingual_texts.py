"""Texts in many languages, the same every time: names, numbers and dates of the Unicode CLDR."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from babel import Locale
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal

LANGUAGES = (
    *("am", "ar", "cs", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hy", "id", "it", "ja"),
    *("ka", "ko", "my", "nl", "pl", "pt", "ru", "sw", "ta", "th", "tr", "uk", "ur", "vi", "zh"),
)


def texts(count: int) -> list[str]:
    """Of each language as many, give or take one."""
    random = Random(0)
    return [_text(LANGUAGES[n % len(LANGUAGES)], random) for n in range(count)]


def _text(language: str, random: Random) -> str:
    locale = Locale(language)
    names = [*locale.territories.values(), *locale.languages.values(), *locale.currencies.values()]
    chosen = format_list(random.sample(names, random.randint(1, 4)), locale=locale)
    day = date(2000, 1, 1) + timedelta(random.randrange(10_000))
    number = random.choice([random.random(), random.randrange(1_000_000)])
    match random.randrange(5):
        case 0:
            return chosen
        case 1:
            return f"{chosen}: {format_decimal(number, locale=locale)}!"
        case 2:
            return f"{format_date(day, random.choice(['full', 'short']), locale)} – {chosen}"
        case 3:
            return f" {format_currency(number, 'EUR', locale=locale)}? {chosen.upper()}  it's \n"
        case _:
            return f"“{chosen}”, {format_date(day, 'long', locale)}; {chosen.lower()}..."
