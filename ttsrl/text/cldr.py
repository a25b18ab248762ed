"""What Unicode's CLDR knows of a language: units, currencies, months, separators of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    "pressure-millimeter-ofhg": "mmHg",
    "duration-week": "wk wks",
    "duration-month": "mos",
    "duration-year": "yr yrs",
    "volume-tablespoon": "tbsp",
    "volume-teaspoon": "tsp",
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
SPELLED_OUT = frozenset(["duration-week", "duration-month", "duration-year"])
"""Units whose symbols of one letter are rather words: "3 a 5"."""
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
    "IDR": "Rp",
    "MYR": "RM",
    "BDT": "৳",
    "PKR": "",
    "RON": "",
    "BGN": "лв.",
    "ARS": "",
    "COP": "",
    "CLP": "",
    "PEN": "S/",
    "GEL": "₾",
    "ISK": "",
    "KES": "",
    "GHS": "₵",
}
"""ISO 4217 -> its signs; the code itself is a sign too."""


def of_cldr(language: str) -> dict[str, Any]:
    """Fields of `ttsrl.text.speech.Speech`, as far as CLDR knows the language."""
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
    known["weekdays"] = [
        list(
            dict.fromkeys(
                locale.days["format"][width][d] for width in ("wide", "abbreviated", "short")
            )
        )
        for d in range(7)
    ]
    known["short_dates"] = {
        short: full
        for names in (locale.days, locale.months)
        for key, full in names["format"]["wide"].items()
        if (short := names["format"]["abbreviated"][key].rstrip(".")) != full
        and short.isalpha()
        and short[0] < "\u0700"
    }
    known["units"] = _units(data["unit_patterns"])
    known["currencies"] = _currencies(data["currency_names_plural"], locale.currencies)
    known["symbols"] = {"&": [locale.list_patterns["standard"]["2"].format("", "").strip()]}
    return known


def _units(patterns: Mapping[str, Any]) -> dict[str, list[str]]:
    """Symbol -> patterns of all plural forms."""
    units: dict[str, list[str]] = {}
    for name, symbols in UNITS.items():
        lengths = patterns.get(name, {})
        said = [p for p in _plain(lengths.get("long", {})) if any(c.isalpha() for c in p)]
        written = [
            _symbol(p) for size in ("short", "narrow") for p in _plain(lengths.get(size, {}))
        ]
        if name in SPELLED_OUT:
            written = [symbol for symbol in written if len(symbol) > 1]
        for symbol in dict.fromkeys([*symbols.split(), *written]):
            if symbol and symbol not in units:
                units[symbol] = said or [symbol]
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
