"""A stand-in for ATIS in its layout: questions from a small grammar, each word with its slot, each with its intent."""

from __future__ import annotations

from pathlib import Path

from labkit.data.slots import write

CITIES = ("oslo", "new york", "paris", "lima", "hong kong", "rome", "kyoto", "san remo")
DAYS = ("monday", "tuesday", "friday", "sunday")
PERIODS = ("morning", "evening", "noon")
AIRLINES = ("blue wing", "northern", "air garden")
CLASSES = ("first class", "economy")

# intent -> questions; {slot} is a gap
QUESTIONS = {
    "flight": (
        "show me flights from {fromloc.city_name} to {toloc.city_name}",
        "what {depart_time.period_of_day} flights leave {fromloc.city_name} on {depart_date.day_name}",
        "i want to fly to {toloc.city_name} on {depart_date.day_name} with {airline_name}",
        "is there a {class_type} flight to {toloc.city_name} from {fromloc.city_name}",
    ),
    "airfare": ("how much is a {class_type} ticket from {fromloc.city_name} to {toloc.city_name}",),
    "airline": ("which airline flies from {fromloc.city_name} to {toloc.city_name} on {depart_date.day_name}",),
}
VALUES = {"fromloc.city_name": CITIES, "toloc.city_name": CITIES, "depart_date.day_name": DAYS,
          "depart_time.period_of_day": PERIODS, "airline_name": AIRLINES, "class_type": CLASSES}  # fmt: skip
SPLITS = {"train": 1000, "dev": 50, "test": 100}


def make(folder: Path, seed: int = 0) -> None:
    """Write seq.in, seq.out and label of train, dev and test below `folder`: 1,150 questions."""
    write(folder, SPLITS, QUESTIONS, VALUES, seed)
