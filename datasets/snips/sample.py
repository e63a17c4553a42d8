"""A stand-in for SNIPS in its layout: requests from a small grammar, each word with its slot, each with its intent."""

from __future__ import annotations

from pathlib import Path

from labkit.data.slots import write

ARTISTS = ("the night owls", "anna berg", "red river", "old harbour", "mira")
LISTS = ("morning", "road trip", "quiet evening", "sunday run")
CITIES = ("oslo", "new york", "paris", "lima", "hong kong", "rome")
TIMES = ("tomorrow", "next friday", "at noon", "this weekend")
SIZES = ("two", "three", "six", "ten")
FOODS = ("pizza", "noodle", "seafood", "indian")
BOOKS = ("the long winter", "stone bridge", "a small garden", "north")
STARS = ("one", "two", "three", "four", "five")

# intent -> requests; {slot} is a gap
REQUESTS = {
    "AddToPlaylist": ("add {artist} to my {playlist} playlist", "put {artist} on the playlist {playlist}"),
    "PlayMusic": ("play something by {artist}", "i want to hear {artist} please", "play my {playlist} list"),
    "BookRestaurant": (
        "book a table for {party_size_number} in {city}",
        "find a {served_dish} restaurant in {city} {timeRange} for {party_size_number}",
    ),
    "GetWeather": ("what is the weather in {city} {timeRange}", "will it rain {timeRange} in {city}"),
    "RateBook": ("give {object_name} {rating_value} stars", "rate the book {object_name} {rating_value} out of five"),
    "SearchCreativeWork": ("find the book {object_name}", "where can i see {object_name}"),
}
VALUES = {"artist": ARTISTS, "playlist": LISTS, "city": CITIES, "timeRange": TIMES, "party_size_number": SIZES,
          "served_dish": FOODS, "object_name": BOOKS, "rating_value": STARS}  # fmt: skip
SPLITS = {"train": 1200, "dev": 100, "test": 100}


def make(folder: Path, seed: int = 0) -> None:
    """Write seq.in, seq.out and label of train, dev and test below `folder`: 1,400 requests."""
    write(folder, SPLITS, REQUESTS, VALUES, seed)
