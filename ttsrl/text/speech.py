"""How a language says what is not written in letters: its table, completed from Unicode's CLDR.

`tables/CODE.toml` has what a person had to write down; units, currencies, months and the words of
numbers come from CLDR (babel, unicode-rbnf), also for languages without a table. The keys of a
table are the fields of `Speech`; `base` names a table of which it is a variant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ttsrl.text.spelling import TABLES

CLDR = {"jw": "jv", "no": "nb", "tl": "fil", "yue": "yue_Hant", "zh": "zh_Hans"}
"""Whisper's code -> CLDR's locale, where they differ."""
UNITS = {
    "length-kilometer": "km",
    "length-meter": "m",
    "length-decimeter": "dm",
    "length-centimeter": "cm",
    "length-millimeter": "mm",
    "length-micrometer": "μm",
    "length-nanometer": "nm",
    "length-mile": "mi",
    "length-yard": "yd",
    "length-foot": "ft ′",
    "length-inch": "in ″",
    "length-nautical-mile": "nmi",
    "area-square-kilometer": "km^2 sqkm",
    "area-square-meter": "m^2 sqm",
    "area-square-centimeter": "cm^2",
    "area-square-foot": "ft^2 sqft",
    "area-square-mile": "mi^2 sqmi",
    "area-hectare": "ha",
    "volume-cubic-kilometer": "km^3",
    "volume-cubic-meter": "m^3",
    "volume-cubic-centimeter": "cm^3 cc",
    "volume-liter": "l L",
    "volume-deciliter": "dl dL",
    "volume-centiliter": "cl cL",
    "volume-milliliter": "ml mL",
    "volume-gallon": "gal",
    "volume-fluid-ounce": "floz",
    "mass-kilogram": "kg",
    "mass-gram": "g",
    "mass-milligram": "mg",
    "mass-microgram": "μg",
    "mass-tonne": "t",
    "mass-pound": "lb lbs",
    "mass-ounce": "oz",
    "temperature-celsius": "°C",
    "temperature-fahrenheit": "°F",
    "temperature-kelvin": "K",
    "angle-degree": "°",
    "speed-kilometer-per-hour": "km/h kph kmh",
    "speed-meter-per-second": "m/s",
    "speed-mile-per-hour": "mph",
    "duration-hour": "h hr hrs",
    "duration-minute": "min",
    "duration-second": "s sec",
    "duration-millisecond": "ms",
    "duration-microsecond": "μs",
    "duration-nanosecond": "ns",
    "frequency-hertz": "Hz",
    "frequency-kilohertz": "kHz",
    "frequency-megahertz": "MHz",
    "frequency-gigahertz": "GHz",
    "power-watt": "W",
    "power-milliwatt": "mW",
    "power-kilowatt": "kW",
    "power-megawatt": "MW",
    "power-gigawatt": "GW",
    "power-horsepower": "hp",
    "energy-joule": "J",
    "energy-kilojoule": "kJ",
    "energy-kilowatt-hour": "kWh",
    "energy-kilocalorie": "kcal",
    "electric-volt": "V",
    "electric-ampere": "A",
    "electric-milliampere": "mA",
    "electric-ohm": "Ω",
    "force-newton": "N",
    "pressure-pascal": "Pa",
    "pressure-hectopascal": "hPa",
    "pressure-kilopascal": "kPa",
    "pressure-bar": "bar",
    "pressure-millibar": "mbar",
    "digital-byte": "B",
    "digital-kilobyte": "kB KB",
    "digital-megabyte": "MB",
    "digital-gigabyte": "GB",
    "digital-terabyte": "TB",
    "digital-megabit": "Mbit Mb",
    "digital-gigabit": "Gbit Gb",
    "light-lux": "lx",
    "light-lumen": "lm",
    "concentr-percent": "%",
    "concentr-permille": "‰",
    "concentr-mole": "mol",
    "concentr-part-per-1e6": "ppm",
    "graphics-pixel": "px",
}
"""CLDR's unit -> its symbols in every language; CLDR adds those of the language itself."""
CURRENCIES = {
    "EUR": "€",
    "USD": "$ US$ U.S.$",
    "GBP": "£",
    "JPY": "¥ 円",
    "CNY": "CN¥ RMB",
    "INR": "₹",
    "RUB": "₽",
    "KRW": "₩",
    "VND": "₫",
    "TRY": "₺",
    "UAH": "₴",
    "ILS": "₪",
    "NGN": "₦",
    "PHP": "₱",
    "KZT": "₸",
    "THB": "฿",
    "PLN": "zł",
    "CZK": "Kč",
    "BRL": "R$",
    "CHF": "Fr.",
    "AUD": "A$ AU$",
    "CAD": "C$ CA$",
    "MXN": "MX$",
    "HKD": "HK$",
    "SGD": "S$",
    "NZD": "NZ$",
    "TWD": "NT$",
    "SEK": "",
    "NOK": "",
    "DKK": "",
    "HUF": "Ft",
    "AED": "",
    "SAR": "",
    "EGP": "E£",
    "ZAR": "",
    "BTC": "₿",
}
"""ISO 4217 -> its signs; the code itself is a sign too."""


@dataclass(frozen=True)
class Speech:
    """One language. Lists of words go from the usual to the rare; all are right."""

    language: str
    numbers: Sequence[str] = ()
    """CLDR locales whose number words are right, "de" and "de_CH"."""
    number_variants: Sequence[tuple[str, str]] = ()
    """Regular expression and replacement: another way to say a number, from its words."""
    decimal: str = "."
    group: str = ","
    """Characters between groups of three digits."""
    point: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Decimal mark -> its words."""
    zero: Sequence[str] = ()
    """Words for 0 in a string of digits, a telephone number."""
    one: Sequence[str] = ()
    repeated: Mapping[str, str] = field(default_factory=dict)
    """"2" -> "double {d}": a digit that comes twice, thrice."""
    pairs: Sequence[str] = ()
    """Words between two digits and a lower one: "nineteen oh five"; empty: not said in pairs."""
    hundreds: Sequence[str] = ()
    """Templates of whole hundreds above a thousand with {c}: "nineteen hundred"."""
    minus: Sequence[str] = ()
    plus: Sequence[str] = ("plus",)
    to: Sequence[str] = ()
    """Between the ends of a range."""
    scales: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """"million" after a number, between it and its currency."""
    one_scale: Sequence[str] = ()
    """Words for 1 before a scale: "a million"."""
    symbols: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Symbol -> its words, wherever it stands."""
    before_number: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The same, if a number follows: "#", "~"."""
    between: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The same, between numbers, letters or brackets: "/", "*", ":"."""
    powers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Exponent -> words after the base: "squared"."""
    power: Sequence[str] = ()
    """Templates of any other exponent with {c}, {o}."""
    in_addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Character of an e-mail or web address -> its words."""
    currencies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """ISO 4217 -> names; CLDR's where the table has none."""
    cents: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """ISO 4217 -> names of its hundredth part."""
    dimes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """ISO 4217 -> names of its tenth part."""
    cents_joined: Sequence[str] = ("",)
    """Between the two: "ten dollars (and) fifty cents"."""
    signs: Mapping[str, str] = field(default_factory=dict)
    """Signs of currencies that mean another one here than in `CURRENCIES`."""
    units: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Symbol -> readings, with {0} where the number is not before the word."""
    per: Sequence[str] = ()
    """Between two units: "dollars per kilogram"."""
    ordinal: str = ""
    """Regular expression of what follows the digits of an ordinal."""
    ordinals: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Number -> its ordinals beside CLDR's."""
    ordinal_said: Sequence[str] = ()
    """Templates of an ordinal with {c}, the cardinal: languages in which CLDR has none."""
    roman: Sequence[str] = ()
    """Templates of a Roman numeral with {c}, the cardinal, or {o}, an ordinal."""
    roman_ordinal: str = "(?!)"
    """Regular expression of what makes a Roman numeral an ordinal: the e of "XIXe"."""
    fractions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fraction: Sequence[str] = ()
    """Templates of n/m with {n}, {m}, and {o}, the ordinal of m."""
    mixed: Sequence[str] = ()
    """Between a number and a fraction: "three and a half"."""
    tenths: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Number of digits -> words of such a decimal fraction; "0": after the whole."""
    time: Sequence[str] = ()
    """Templates of a time of day with {h}; {m}, minutes; {z}, the same with "oh" below ten; {n},
    the next hour; {H}, the hour of twelve; {r}, minutes until the next."""
    full_hour: Sequence[str] = ()
    at: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Minute -> templates: "quarter past {h}"."""
    past: Sequence[str] = ()
    until: Sequence[str] = ()
    """Templates up to and after the half hour: "{m} past {h}", "{r} to {n}"."""
    seconds: Sequence[str] = ()
    """Templates of what follows: "{z}", "and {s} seconds"."""
    durations: Sequence[str] = ()
    """Templates of hours, minutes and seconds in one: "{h} hours {m} minutes and {s} seconds"."""
    clock: str = ""
    """Regular expression of what may follow a time and is said by the templates."""
    hours: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Hour -> names beside the number: "noon"."""
    hour_mark: str = ":"
    """Characters between hours and minutes."""
    date: Sequence[str] = ()
    """Templates of a date with {d}, cardinal; {o}, ordinal; {b}, month; {m}, {p}, the same as the
    day's; {y}."""
    date_order: str = "dmy"
    of: str = "(?!)"
    """Regular expression of what may stand between a day and its month."""
    day_month: Sequence[str] = ()
    """Templates of "5 March" and "March 5" with {d}, {o} and {b}, in the order of the text."""
    month_day: Sequence[str] = ()
    months: Sequence[Sequence[str]] = ()
    """Names of each month, the full one first."""
    decade: Sequence[tuple[str, str]] = ()
    """Regular expression and replacement: from the words of 1990 to those of 1990s."""
    decade_mark: str = ""
    abbreviations: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """As written, dots included -> readings; a final dot may be missing."""
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Word in lower case -> its readings and spellings."""
    endings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Ending after an apostrophe -> its readings: "'ll" -> "will"."""
    endings_kept: Sequence[str] = ()
    """Endings that are usually just that: the s of a genitive."""
    stems: Mapping[str, str] = field(default_factory=dict)
    """Word before such an ending -> what it stands for: "ca" of "can't"."""
    suffixes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """End of a compound -> what it is short for: "str" of "Hauptstr."."""
    same: Sequence[Sequence[str]] = ()
    """Spellings of one word; each may stand for each."""
    fillers: Sequence[Sequence[str]] = ()
    """Spellings of one filler. A transcript may leave it out; nobody gets one for nothing."""


@lru_cache(maxsize=128)
def speech(language: str) -> Speech:
    """The language's table, completed from CLDR; nearly empty for one that CLDR lacks, too."""
    path = TABLES / f"{language}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if base := table.pop("base", None):
        table = tomllib.loads((TABLES / f"{base}.toml").read_text(encoding="utf-8")) | table
    known = _of_cldr(language)
    for key, value in table.items():
        known[key] = known[key] | value if key in MERGED and key in known else value
    return Speech(language=language, **known)


MERGED = frozenset(["symbols", "units", "currencies", "point"])
"""Keys of which CLDR has a part and the table another."""


def _of_cldr(language: str) -> dict[str, Any]:
    from babel import Locale, UnknownLocaleError
    from babel.localedata import LocaleDataDict, load
    from unicode_rbnf import RbnfEngine

    code = CLDR.get(language, language)
    name = {"nb": "no", "yue_Hant": "yue", "zh_Hans": "zh"}.get(code, code)
    known: dict[str, Any] = {}
    if name in RbnfEngine.get_supported_languages():
        known["numbers"] = [name]
    try:
        locale = Locale.parse(code)
    except (UnknownLocaleError, ValueError):
        return known
    data: Any = LocaleDataDict({**load(str(locale))})
    marks = locale.number_symbols.get("latn", {})
    known["decimal"], group = str(marks.get("decimal", ".")), str(marks.get("group", ","))
    known["group"] = {"\xa0": "\xa0\u202f ", "\u202f": "\xa0\u202f ", "’": "'"}.get(group, group)
    known["months"] = [
        list(dict.fromkeys(locale.months[c]["wide"][m] for c in ("format", "stand-alone")))
        for m in range(1, 13)
    ]
    known["units"] = _units(data["unit_patterns"])
    known["currencies"] = _currencies(data["currency_names_plural"], locale.currencies)
    known["symbols"] = {"&": [locale.list_patterns["standard"]["2"].format("", "").strip()]}
    return known


def _units(patterns: Mapping[str, Any]) -> dict[str, list[str]]:
    """Symbol -> patterns of all plural forms."""
    units: dict[str, list[str]] = {}
    for name, symbols in UNITS.items():
        lengths = patterns.get(name, {})
        said = _plain(lengths.get("long", {}))
        if not said:
            continue
        written = [
            _symbol(p) for size in ("short", "narrow") for p in _plain(lengths.get(size, {}))
        ]
        for symbol in dict.fromkeys([*symbols.split(), *written]):
            if symbol and symbol not in units:
                units[symbol] = said
    return units


def _plain(forms: Mapping[str, Any]) -> list[str]:
    return list(
        dict.fromkeys(
            pattern
            for form, pattern in forms.items()
            if form != "per" and isinstance(pattern, str) and "{0}" in pattern
        )
    )


def _symbol(pattern: str) -> str:
    """The symbol of a pattern that begins with the number."""
    if not pattern.startswith("{0}"):
        return ""
    symbol = pattern.removeprefix("{0}").strip("\xa0\u202f ")
    return symbol.replace("²", "^2").replace("³", "^3").replace("µ", "μ").replace(" ", "")


def _currencies(plural: Mapping[str, Any], usual: Mapping[str, str]) -> dict[str, list[str]]:
    """ISO code -> names, and their words: "US-Dollar" is also said "Dollar"."""
    names: dict[str, list[str]] = {}
    for code in CURRENCIES:
        said = [*plural.get(code, {}).values(), *([usual[code]] if code in usual else ())]
        parts = [part for name in said for part in name.replace("-", " ").split()]
        if said:
            names[code] = list(dict.fromkeys([*said, *parts]))
    return names
