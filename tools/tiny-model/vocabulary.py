"""The listed words: names, cities and phrasings to extract from, and words that become tokens.

Some names and cities are written in several bytes per letter, so that an answer
exercises decoding of characters that span tokens.
"""

from __future__ import annotations

import re
from typing import Final

NAMES: Final[tuple[str, ...]] = tuple(
    """
    Ada Adam Agnes Aisha Alan Albert Alice Amara Amir Ana Anders Andrea Anna Anton Aria Arthur
    Astrid Ben Bianca Boris Bruno Carla Carlos Cecilia Chen Clara Cora Dalia Daniel Daria David
    Dora Edith Edward Elena Eli Elias Elif Emil Emma Erik Esther Eva Fatima Felix Fiona Frank
    Frida George Gita Grace Greta Hana Hans Harold Hassan Helen Henry Hugo Ian Ida Igor Ines Ingrid
    Irene Isaac Ivan Ivy Jack Jakob James Jana Jane Jasper Jens Joan John Jonas Judith Julia Kai
    Karl Kate Kenji Kira Lars Laura Layla Lea Leo Lena Liam Lina Linda Lucas Lucy Maja Mara Marco
    Maria Mark Marta Martin Mary Max Maya Mei Mia Michael Mila Milan Mina Mira Nadia Naomi Nico
    Nina Noah Nora Olaf Oleg Olga Oliver Omar Oscar Otto Pablo Paul Pavel Petra Pia Priya Rachel
    Rafael Rana Rita Robert Rosa Ruth Samir Sara Simon Sofia Stella Sven Tara Teresa Thomas Tim
    Tina Tom Uma Ursula Vera Victor Viola Walter Wanda Xenia Yara Yuki Yusuf Zara Zoran
    José Zoë Łukasz Jürgen Søren Chloé Özlem Renée Björn Noël Анна Олег Νίκος 美咲 陽菜 민준
    """.split()
)

CITIES: Final[tuple[str, ...]] = (
    *"""
    Aarhus Accra Algiers Amman Ankara Antwerp Athens Austin Baku Bangkok Basel Beirut Belfast
    Bergen Berlin Bern Bilbao Bogota Bologna Boston Bremen Brno Brussels Bucharest Budapest Cairo
    Calgary Cardiff Chicago Cologne Cork Dakar Dallas Delhi Denver Dhaka Dresden Dublin Durban
    Geneva Genoa Ghent Glasgow Graz Hamburg Hanoi Harare Havana Helsinki Istanbul Jakarta Kampala
    Kigali Kyoto Lagos Leeds Leipzig Lille Lima Linz Lisbon London Lusaka Luxor Lyon Madrid Malaga
    Manila Maputo Medellin Memphis Miami Milan Minsk Mumbai Munich Nairobi Nantes Naples Odense
    Osaka Oslo Ottawa Palermo Paris Perth Pisa Porto Prague Quito Riga Rome Rotterdam Salzburg
    Santiago Sapporo Seattle Seoul Seville Sofia Tallinn Tampere Tirana Tokyo Toronto Trieste Tunis
    Turin Utrecht Valencia Venice Vienna Vilnius Warsaw Zagreb
    Zürich Köln Malmö Kraków Łódź Nîmes Göteborg Poznań Coruña Київ Αθήνα 東京 大阪 서울
    """.split(),
    "New York",
    "Los Angeles",
    "San Juan",
    "Cape Town",
    "Hong Kong",
    "Tel Aviv",
    "São Paulo",
    "The Hague",
)

# Every phrasing ends in a full stop: it tells the model that the sentence is complete.
PHRASINGS: Final[tuple[str, ...]] = (
    "{name}, {age}, lives in {city}.",
    "{name} is {age} years old and lives in {city}.",
    "{age}-year-old {name} is from {city}.",
    "In {city} lives {name}, who is {age}.",
    "My friend {name} from {city} turned {age} last week.",
    "{name} ({age}) works in {city}.",
    "Meet {name}: age {age}, city {city}.",
    "At {age}, {name} moved to {city}.",
    "{city} is home to {name}, aged {age}.",
    "Name: {name}; city: {city}; age: {age}.",
    "The train to {city} left without {name}, who is only {age}.",
    "{name} was born {age} years ago in {city}.",
    "Write to {name} in {city}; she is {age} now.",
    "We met {name} in {city} when he turned {age}.",
)

# Past the sentences' own words: so that other English text costs fewer tokens.
COMMON_WORDS: Final[tuple[str, ...]] = tuple(
    """
    the of and to in is you that it he was for on are as with his they at be this have from or one
    had by word but not what all were we when your can said there use an each which she do how their
    if will up other about out many then them these so some her would make like him into time has
    look two more write go see number no way could people my than first water been call who its now
    find long down day did get come made may part
    """.split()
)

# The lowercase words that the tokenizer builds into one token after a space, as far as it has room.
TOKEN_WORDS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        [word for phrasing in PHRASINGS for word in re.findall(r"(?<= )[a-z]+", phrasing)]
        + list(COMMON_WORDS)
    )
)
