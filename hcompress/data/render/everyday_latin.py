"""Lines of Latin letters that people photograph: a function for each kind, all from one rng."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hcompress.data.render import english
from hcompress.data.render.text import digits, pick, word

if TYPE_CHECKING:
    import numpy as np

    Template = Callable[[np.random.Generator], str]


def amount(rng: np.random.Generator) -> str:
    """Of money, as tills print it."""
    whole = digits(rng, 1, 4).lstrip("0") or "0"
    cents = pick(rng, ("00", "50", "99", "90", "95", digits(rng, 2, 2), digits(rng, 2, 2)))
    if rng.random() < 0.15:
        return f"{digits(rng, 1, 2).lstrip('0') or '1'},{digits(rng, 3, 3)}.{cents}"
    if rng.random() < 0.08:
        return f"{whole},{cents}"
    return f"{whole}.{cents}"


def number(rng: np.random.Generator, least: int, most: int) -> str:
    """A whole number from ``least`` to ``most``."""
    return str(int(rng.integers(least, most + 1)))


def two(rng: np.random.Generator, least: int, most: int) -> str:
    """A whole number of two digits, such as 07."""
    return number(rng, least, most).zfill(2)


def price(rng: np.random.Generator) -> str:
    money = amount(rng)
    currency = pick(rng, ("$", "£", "€", "RM ", "US$", "USD ", "EUR ", "$", "¥", "S$", "Rs. "))
    kind = int(rng.integers(6))
    if kind == 0:
        return money
    if kind == 1:
        return f"{money} {pick(rng, ('EUR', 'USD', 'GBP', 'SR', 'TTC', '€'))}"
    if kind == 2:
        return f"{'-' if rng.random() < 0.5 else ''}{currency}{money}"
    if kind == 3:
        return f"{currency}{money}/{pick(rng, ('kg', 'lb', 'ea', 'month', 'night', '100g'))}"
    if kind == 4:
        return f"{number(rng, 2, 5)} for {currency}{money}"
    return f"{currency}{money}"


def date(rng: np.random.Generator) -> str:
    year, month, day = number(rng, 1990, 2030), two(rng, 1, 12), two(rng, 1, 28)
    mark = pick(rng, "-/.")
    named = pick(rng, (*english.MONTHS, *english.LONG_MONTHS))
    return pick(
        rng,
        (
            mark.join((year, month, day)),
            mark.join((day, month, year)),
            mark.join((month, day, year[2:])),
            f"{named} {int(day)}, {year}",
            f"{int(day)} {named} {year}",
            f"{pick(rng, english.DAYS)}, {int(day)} {named}",
            f"{day}{named[:3].upper()}{year[2:]}",
            f"{year}-{month}-{day} {clock(rng)}",
        ),
    )


def clock(rng: np.random.Generator) -> str:
    """14:05, or 14:05:59."""
    short = f"{two(rng, 0, 23)}:{two(rng, 0, 59)}"
    return short if rng.random() < 0.7 else f"{short}:{two(rng, 0, 59)}"


def time(rng: np.random.Generator) -> str:
    hour = f"{number(rng, 1, 12)}:{pick(rng, ('00', '15', '30', '45', two(rng, 0, 59)))}"
    half = pick(rng, ("AM", "PM", "am", "pm", "a.m.", "p.m."))
    day = pick(rng, english.DAYS)[:3]
    return pick(
        rng,
        (
            clock(rng),
            f"{hour} {half}",
            f"{two(rng, 6, 11)}:00-{two(rng, 16, 23)}:00",
            f"{day}-Sun {hour} {half}",
            f"{day} {clock(rng)}",
            f"{hour}{half} - {number(rng, 1, 12)}{half}",
        ),
    )


def address(rng: np.random.Generator) -> str:
    street = f"{pick(rng, english.PLACES)} {pick(rng, english.STREETS)}"
    line = f"{number(rng, 1, 999)} {street}"
    town = pick(rng, english.PLACES)
    state = "".join(pick(rng, string.ascii_uppercase) for _ in range(2))
    return pick(
        rng,
        (
            line,
            f"{line}, {town}",
            f"{line}, Apt {number(rng, 1, 40)}{pick(rng, 'ABCD')}",
            f"{town}, {state} {digits(rng, 5, 5)}",
            f"{digits(rng, 5, 5)} {town}",
            f"P.O. Box {digits(rng, 2, 5)}, {town}",
            f"Unit {number(rng, 1, 60)}/{number(rng, 1, 300)} {street}",
        ),
    )


def phone(rng: np.random.Generator) -> str:
    three, four = digits(rng, 3, 3), digits(rng, 4, 4)
    bare = pick(
        rng,
        (
            f"({digits(rng, 3, 3)}) {three}-{four}",
            f"+{number(rng, 1, 99)} {digits(rng, 2, 3)} {three} {four}",
            f"{digits(rng, 3, 3)}-{three}-{four}",
            f"0{digits(rng, 2, 3)} {three}{four}",
            f"1-800-{three}-{four}",
        ),
    )
    return pick(rng, ("", "", "Tel: ", "Tel. ", "Phone ", "Fax: ", "Call ")) + bare


def url(rng: np.random.Generator) -> str:
    site = _handle(rng) + "." + pick(rng, english.DOMAINS)
    start = pick(rng, ("www.", "www.", "https://", "http://www.", "https://www.", ""))
    path = f"/{_handle(rng)}"
    end = pick(rng, ("", "", "", path, f"{path}.html", f"{path}?id={digits(rng, 1, 6)}", "/"))
    return start + site + end


def email(rng: np.random.Generator) -> str:
    name = pick(rng, english.FIRST_NAMES).lower()
    own = pick(
        rng,
        (
            name,
            f"{name}.{pick(rng, english.LAST_NAMES).lower()}",
            f"{name}{digits(rng, 1, 4)}",
            f"{name}_{_handle(rng)}",
            *("info", "sales", "contact", "support"),
        ),
    )
    start = pick(rng, ("", "", "", "E-mail: ", "Email: "))
    return f"{start}{own}@{_handle(rng)}.{pick(rng, english.DOMAINS)}"


def _handle(rng: np.random.Generator) -> str:
    """What sites call themselves."""
    one, other = (pick(rng, english.GOODS), pick(rng, english.ADJECTIVES))
    made = word(rng, 9).lower()
    return pick(rng, (one, made, f"{other}{one}", f"{other}-{one}", f"{made}{digits(rng, 1, 3)}"))


def invoice(rng: np.random.Generator) -> str:
    item, count, each = _goods(rng), number(rng, 1, 12), amount(rng)
    return pick(
        rng,
        (
            f"{item} {count} x {each}",
            f"{count}X {item} {each}",
            f"{item} {each} {pick(rng, 'TSAZ')}",
            f"{count} {item} @ {each}",
            f"{item} x{count} {each} {amount(rng)}",
            f"{digits(rng, 4, 13)} {item}",
            f"{count} PC {each} {amount(rng)}",
        ),
    )


def _goods(rng: np.random.Generator) -> str:
    item = pick(rng, english.GOODS)
    if rng.random() < 0.5:
        item = f"{pick(rng, english.ADJECTIVES)} {item}"
    case = rng.random()
    return item.upper() if case < 0.4 else item.title() if case < 0.8 else item


def total(rng: np.random.Generator) -> str:
    label = pick(rng, english.LABELS)
    return label + pick(rng, (": ", " ", ":", " = ")) + price(rng)


def field(rng: np.random.Generator) -> str:
    values = (digits(rng, 2, 10), code(rng), date(rng), pick(rng, english.FIRST_NAMES))
    return pick(rng, english.FIELDS) + pick(rng, (": ", ":", " ", ". ")) + pick(rng, values)


def code(rng: np.random.Generator) -> str:
    """Serial numbers, flights, plates and postcodes."""
    letters = "".join(pick(rng, string.ascii_uppercase) for _ in range(int(rng.integers(1, 5))))
    mixed = "".join(
        pick(rng, string.ascii_uppercase + string.digits) for _ in range(int(rng.integers(5, 13)))
    )
    return pick(
        rng,
        (
            letters + pick(rng, ("-", "", " ", "/", "_", ".")) + digits(rng, 2, 6),
            mixed,
            f"{letters}{digits(rng, 1, 2)} {digits(rng, 1, 1)}{letters[:2]}",
            f"#{digits(rng, 3, 7)}",
            f"{digits(rng, 2, 4)}-{letters}-{digits(rng, 1, 3)}",
        ),
    )


def shop(rng: np.random.Generator) -> str:
    owner, kind = pick(rng, english.LAST_NAMES), pick(rng, english.SHOPS)
    name = pick(
        rng,
        (
            f"{owner}'s {kind}",
            f"{pick(rng, english.ADJECTIVES).title()} {pick(rng, english.PLACES)} {kind}",
            f"The {pick(rng, english.ADJECTIVES).title()} {pick(rng, english.GOODS).title()}",
            f"{owner} & {pick(rng, ('Sons', 'Co.', pick(rng, english.LAST_NAMES)))}",
            f"{word(rng, 8).capitalize()} {kind}",
            f"{pick(rng, english.PLACES)} {kind} {pick(rng, ('Ltd.', 'Inc.', 'LLC', 'GmbH'))}",
        ),
    )
    return name.upper() if rng.random() < 0.35 else name


def words(rng: np.random.Generator) -> str:
    pool = (english.GOODS, english.ADJECTIVES, english.PLACES, english.SHOPS)
    count = int(rng.integers(1, 4))
    text = " ".join(
        word(rng, 10) if rng.random() < 0.15 else pick(rng, pick(rng, pool)) for _ in range(count)
    )
    case = rng.random()
    return text.upper() if case < 0.3 else text.title() if case < 0.6 else text


def sentence(rng: np.random.Generator) -> str:
    text = f"{pick(rng, english.SUBJECTS)} {pick(rng, english.VERBS)}"
    if rng.random() < 0.6:
        text += f" {pick(rng, english.ENDS)}"
    kind = rng.random()
    if kind < 0.15:
        return f'"{text}," said {pick(rng, english.FIRST_NAMES)}.'
    if kind < 0.25:
        return f"{pick(rng, ('However', 'Today', 'Sorry', 'Note', 'Yes'))}, {_lower(text)}."
    return text + pick(rng, (".", ".", ".", "!", "?", "...", ";", ""))


def _lower(text: str) -> str:
    """As it is after a comma; I stays."""
    return text if text.startswith("I ") else text[0].lower() + text[1:]


def sign(rng: np.random.Generator) -> str:
    text = pick(rng, english.SIGNS)
    return text.upper() if rng.random() < 0.4 else text


def person(rng: np.random.Generator) -> str:
    name = f"{pick(rng, english.FIRST_NAMES)} {pick(rng, english.LAST_NAMES)}"
    initial = pick(rng, string.ascii_uppercase)
    return pick(
        rng,
        (
            name,
            f"{pick(rng, ('Mr.', 'Mrs.', 'Ms', 'Dr.', 'Prof.'))} {name}",
            f"{name}, {pick(rng, ('Manager', 'MD', 'Sales', 'Engineer', 'Ph.D.'))}",
            f"{name.split()[1]}, {initial}.",
            f"{initial}. {name.split()[1]}",
        ),
    )


def measure(rng: np.random.Generator) -> str:
    unit = pick(rng, english.UNITS)
    size = pick(rng, (number(rng, 1, 999), f"{number(rng, 0, 99)}.{digits(rng, 1, 2)}"))
    return pick(
        rng,
        (
            f"{size}{unit}",
            f"{size} {unit}",
            f"Net Wt. {size}{unit}",
            f"{number(rng, 2, 48)} x {size}{unit}",
            f"{size}{unit} ± {number(rng, 1, 9)}%",
            f"{number(rng, 5, 95)}% off",
            f"+{number(rng, 1, 99)}{unit}",
            f"({size} {unit})",
        ),
    )


TEMPLATES: Final[tuple[Template, ...]] = (
    words, price, date, time, address, phone, url, email, invoice, total, field, code, shop,
    sentence, sentence, sign, person, measure,
)  # fmt: skip
