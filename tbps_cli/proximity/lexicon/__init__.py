"""The words of this domain: what says the same, what must not be lost. Plain text, read offline.

A lexicon is a folder of four files or five, and a user may put another folder in its place. This
docstring is their one definition. UTF-8; a line is empty, a comment (#), or a head, a colon, and
phrases between commas. Case does not count, and a hyphen is a space: "T-shirt" is "t shirt".
Inflected forms are phrases of their own.

    synonyms.txt   part: phrase, phrase, ...              a group; each says the same as the others
                   part (kind kind): phrase, phrase, ...  only before a noun of one of these kinds
                   phrase*                                is put in, never taken out: it has other meanings
    colours.txt    kind: phrase, ...   colour, shade, haircolour
    garments.txt   kind: phrase, ...   whole, upper, lower, feet, head, worn
    kept.txt       kind: phrase, ...   accessory, bag, held, device, luggage, vehicle, person, hair,
                                       figure, body, detail, pattern, negation
    hues.txt       name #rrggbb ...: phrase, ...          a basic colour name, what it looks like on clothes, the
                                                          colours of colours.txt that are a shade of it
                   name (read) #rrggbb ...: phrase, ...   understood in captions, never put into one
                   name: phrase, ...                      more phrases of a name that was given

Without hues.txt captions can be reworded, but no colour can be exchanged for another.

A part of speech says where a phrase may be replaced (`proximity.synonyms` has the rules):

    noun        as the last of its noun phrase, and not as a verb
    verb        not where it is an adjective or a noun ("walking shoes"); without kinds: without an object
    adjective   before what it describes
    phrase      anywhere

A phrase may stand in several groups, and under one kind only; a noun without a kind has that of
its last word. The longest phrase that fits is
the one that is read: "tank top" is a garment, and so is no "top".

Not known here: what happens to a caption, and by what chance.
"""

from __future__ import annotations

from tbps_cli.proximity.lexicon.reading import read_lexicon
from tbps_cli.proximity.lexicon.terms import (
    COLOUR_KINDS,
    GARMENT_KINDS,
    NOUN_KINDS,
    Hues,
    Lexicon,
    Sense,
    Spot,
    Term,
)

__all__ = [
    "COLOUR_KINDS",
    "GARMENT_KINDS",
    "NOUN_KINDS",
    "Hues",
    "Lexicon",
    "Sense",
    "Spot",
    "Term",
    "read_lexicon",
]
