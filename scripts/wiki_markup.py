"""Wikitext to plain text: `plain_text(wikitext)`.

Every pass takes time in proportion to the text, whatever it holds: an article is untrusted input.
"""

import html
import re
import unicodedata

# What a reader sees of a template, by its name: one of its positional arguments, or a constant. Others are not shown.
FIRST = """'' abbr angbr angle bracket big blockquote center centre cquote dfn flag gaps keypress longitem math mvar no wrap nobold
    nobr noitalic nowrap quote quotation resize sc script small smallcaps smaller sub sup tooltip vanchor visible anchor""".split()
LAST = ["lang", "transl", "transliteration", "unicode", "font", "resize", "script/hebrew", "script/arabic"]
CONSTANT = {"'s": "'s", "nbsp": " ", "spaces": " ", "space": " ", "·": " · ", "•": " · ", "dot": " · ", "!": " ", "–": "–",
            "ndash": "–", "snd": " – ", "spnd": " – ", "spaced ndash": " – ", "mdash": "—", "mdashb": "—", "—": "—",
            "circa": "c. ", "c.": "c. ", "pi": "π", "minus": "−", "times": "×", "=": "=", "'": "'", "\"": "\"", "-": "-"}
UNITS = {"C": "°C", "F": "°F", "sqmi": "sq mi", "sqft": "sq ft", "cuft": "cu ft", "km2": "km²", "m2": "m²", "m3": "m³",
         "mi2": "sq mi", "ft2": "sq ft", "cm3": "cm³", "e6acre": "million acres", "kph": "km/h", "foot": "feet",
         "mile": "miles", "acre": "acres"}
RANGES = {"-": "–", "–": "–", "to": " to ", "and": " and ", "or": " or ", "by": " by ", "x": " × ", "×": " × ",
          "to(-)": " to ", "and(-)": " and ", "to about": " to about ", "±": " ± ", "+/-": " ± "}

HIDDEN_SECTIONS = frozenset("""bibliography/citations/citations and references/cited references/cited sources/cited works/endnotes/
external links/footnotes/further reading/gallery/general references/image gallery/literature/notes/notes and citations/
notes and references/primary sources/publications/references/references and further reading/references and notes/
references and sources/related pages/secondary sources/see also/selected bibliography/sources/works cited
""".replace("\n", "").split("/"))

TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
HIDDEN_ELEMENT = re.compile(
    r"<(?P<close>/?)(?P<name>ref|references|gallery|timeline|imagemap|score|source|syntaxhighlight|pre|hiero|chem|graph)\b"
    r"[^<>]*?(?P<empty>/?)>", re.I)
MATH = re.compile(r"<math[^<>]*>((?:[^<]|<(?!/?math))*)</math>", re.I)
NOWIKI = re.compile(r"<nowiki>((?:[^<]|<(?!/?nowiki))*)</nowiki>", re.I)
BRACKETS = re.compile(r"(\{\{|\}\}|\[\[|\]\]|^[ \t:]*\{\||^[ \t]*\|\}(?!\}))", re.M)
DEEPEST = 40
UNKNOWN = "\x00"  # in place of a number that only the wiki's own modules can compute: brackets that hold it are left out

SMALL_DIGITS = {"sup": str.maketrans("0123456789+-−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ"),
                "sub": str.maketrans("0123456789+-−()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₍₎")}


def escaped(text):
    """`text` with its markup characters as entities, which the last pass turns back."""
    return re.sub(r"[\[\]{}|'<>=*#:_]", lambda found: f"&#{ord(found[0])};", text)


def without_comments(text):
    head, *rest = text.split("<!--")
    return head + "".join(part.partition("-->")[2] for part in rest)


def without_hidden_elements(text):
    """Removes footnotes, galleries, ... with what is in them."""
    kept, end, opened = [], 0, None
    for tag in HIDDEN_ELEMENT.finditer(text):
        if opened is None and not tag["close"]:
            kept.append(text[end : tag.start()])
            end = tag.end()
            opened = None if tag["empty"] else tag["name"].lower()
        elif tag["close"] and tag["name"].lower() == opened:
            end, opened = tag.end(), None
    return "".join(kept) + text[end:]


def show_convert(values):
    """{{convert|5|to|7|km|mi}}: "5 to 7 km"."""
    shown = values[0] if values else ""
    rest = values[1:]
    while len(rest) > 1 and rest[0] in RANGES:
        shown += RANGES[rest[0]] + rest[1]
        rest = rest[2:]
    if rest:
        shown += " " + UNITS.get(rest[0], rest[0])
    if len(rest) > 2 and rest[2] in ("in", "oz", "lb"):
        shown += f" {rest[1]} {rest[2]}"
    return shown


def show_template(content):
    name, *arguments = content.split("|")
    name = " ".join(name.replace("_", " ").split()).lower()
    values = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            values.append(argument.strip())
        elif key.strip().isdigit():
            values.append(value.strip())
    if name in ("convert", "cvt"):
        return show_convert(values)
    if name.startswith("inflation"):
        return UNKNOWN
    if name.startswith("formatnum:"):
        return content.partition(":")[2]
    if name in ("quote", "blockquote", "cquote", "quotation") and values:
        return f"\n\n{values[0]}\n\n"
    if name in LAST and values:
        return values[1] if len(values) == 2 else values[-1]
    if (name in FIRST or name.startswith("lang-")) and values:
        return values[0]
    if name in ("frac", "sfrac", "fraction"):
        return {1: "1/{}", 2: "{}/{}", 3: "{} {}/{}"}.get(len(values), "").format(*values[:3])
    if name == "chem":
        return "".join(value.translate(SMALL_DIGITS["sub"]) for value in values)
    if name == "simplenuclide2" or name == "simplenuclide":
        return "-".join(values[:2])
    if name == "val" and values:
        unit = [argument.partition("=")[2].strip() for argument in arguments if argument.strip().startswith("u=")]
        return " ".join([values[0], *unit])
    if name == "as of" and values:
        return ("as of " if any(argument.strip().startswith("lc=") for argument in arguments) else "As of ") + values[0]
    if name == "nihongo" and values:
        foreign = ", ".join(value for value in values[1:3] if value)
        return f"{values[0]} ({foreign})" if foreign else values[0]
    if name in ("circa", "c.") and values:
        return "c. " + values[0]
    return CONSTANT.get(name, "")


def show_link(content):
    target, bar, label = content.partition("|")
    target = target.strip()
    prefix = target.partition(":")[0].strip().lower() if ":" in target else ""
    if prefix in ("file", "image", "category", "media") or (not bar and re.fullmatch(r"[a-z]{2,3}|simple", prefix)):
        return ""
    if not bar:
        return target.lstrip(":")
    return label.rpartition("|")[2] or re.sub(r" ?\([^()]*\)$", "", target)


SHOW = {"{{": show_template, "[[": show_link, "{|": lambda _: "\n"}
CLOSED_BY = {"}}": "{{", "]]": "[[", "|}": "{|"}


def resolve_brackets(text):
    """Templates and links to what is shown of them, innermost first; tables to nothing."""
    stack = [("", [])]
    opened = dict.fromkeys(SHOW, 0)
    for piece in BRACKETS.split(text):
        mark = piece.strip(" \t:")
        if mark in SHOW:
            opened[mark] += 1
            stack.append((mark, []))
        elif mark in CLOSED_BY:
            # A closing mark without its opening one is noise; opening marks left open inside are too, but what follows them is text.
            while opened[CLOSED_BY[mark]]:
                kind, pieces = stack.pop()
                opened[kind] -= 1
                if kind == CLOSED_BY[mark]:
                    if len(stack) <= DEEPEST:
                        stack[-1][1].append(SHOW[kind]("".join(pieces)))
                    break
                stack[-1][1].extend(pieces)
        else:
            stack[-1][1].append(piece)
    return "".join("".join(pieces) for _, pieces in stack)


def show_small(found):
    text = found[2].strip()
    table = SMALL_DIGITS[found[1].lower()]
    return text.translate(table) if all(ord(letter) in table for letter in text) else text


def heading_of(line):
    """(level, title) of "== title ==", else None."""
    line = line.rstrip()
    level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
    title = line[level : len(line) - level].strip()
    return (level, title) if level and title else None


def plain_lines(text):
    """The lines a reader sees: headings bare, list items with a dash; sections that only cite or link are left out."""
    hidden_level = 7
    headings = []  # those with no text under them yet
    for line in text.split("\n"):
        heading = heading_of(line)
        if heading:
            level, title = heading
            if level <= hidden_level:
                hidden_level = level if title.lower() in HIDDEN_SECTIONS else 7
                headings = [entry for entry in headings if entry[0] < level]
                headings.append(heading)
            continue
        line = re.sub(r"^[*#:;]*[*#][*#:;]*[ \t]*", "- ", line.strip()).lstrip(":;").strip()
        if hidden_level < 7 or re.match(r"[|!]|-{4}|- \(\w+\)$", line):
            continue
        if re.search(r"\w", line):
            for _, title in headings:
                yield from ("", title, "")
            headings = []
            yield line
        elif not line:
            yield ""


def tidy(line):
    """Mends what the removed markup leaves behind."""
    line = re.sub(rf" ?\([^(){UNKNOWN}]*{UNKNOWN}[^()]*\)|{UNKNOWN}", "", re.sub(r"\s+", " ", line))
    for _ in range(2):
        line = re.sub(r"\( ?(?:[,;:/–-] ?){1,9}", "(", line)
        line = re.sub(r" ?(?:[,;:/] ?){1,9}\)", ")", line)
        line = re.sub(r"(?:^| )\( ?(?:or|and|in|lit\.)? ?\)", "", line)
    line = re.sub(r"([,;])(?: ?[,;])+", r"\1", line)
    line = re.sub(r" +((?!\.\.)[,;:.)]+)(?=[\s\"']|$)", r"\1", line)
    return re.sub(r"\( +", "(", re.sub(r" +", " ", line)).strip()


def is_disambiguation(wikitext):
    """Whether the page only lists the meanings of a word."""
    return re.search(r"\{\{\s*(?:disambig|disamb|dab|hndis|geodis|surname|given name)[^{}]*\}\}", wikitext, re.I) is not None


def plain_text(wikitext):
    """Paragraphs and headings with an empty line between, list items without."""
    text = without_comments(wikitext.replace(UNKNOWN, ""))
    text = NOWIKI.sub(lambda found: escaped(found[1]), text)
    text = MATH.sub(lambda found: f"${escaped(' '.join(found[1].split()))}$", text)
    text = without_hidden_elements(text)
    text = re.sub(r"<(sup|sub)>([^<]*)</\1>", show_small, text, flags=re.I)
    text = re.sub(r"<(?:br|hr)\b[^<>]*>", " ", text, flags=re.I)
    text = re.sub(r"</?(?:p|div|blockquote|poem|li|center)\b[^<>]*>", "\n", text, flags=re.I)
    text = resolve_brackets(TAG.sub("", text))
    text = re.sub(r"\[(?:(?:https?|ftp):)?//[^\s\[\]]+(?:[ \t]([^\[\]\n]*))?\]", r"\1", text)
    text = re.sub(r"'{2,}|__[A-Z]+__", "", text)
    text = html.unescape("\n".join(plain_lines(text)))
    text = unicodedata.normalize("NFC", re.sub("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]", "", text))
    lines = [tidy(line) for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in lines if line == "" or re.search(r"\w", line))).strip()
