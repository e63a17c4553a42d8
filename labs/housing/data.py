"""The two data sets as one kind of table: districts, numbers about each, and the median value of its houses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.base.paths import shown
from labs.housing import rows

LEAST = 100  # rows with which the splits make sense

# name -> what it is
BOSTON = {
    "CRIM": both("crimes per head", "人均犯罪率"),
    "ZN": both("land for large lots, %", "大块住宅用地比例，%"),
    "INDUS": both("land of industry, %", "工业用地比例，%"),
    "CHAS": both("at the river, 0 or 1", "是否临河，0 或 1"),
    "NOX": both("nitric oxides, parts per 10 million", "氮氧化物浓度，千万分之一"),
    "RM": both("rooms of a dwelling", "每套住宅的房间数"),
    "AGE": both("built before 1940, %", "1940 年前建成的比例，%"),
    "DIS": both("distance to work places, weighted", "到就业中心的加权距离"),
    "RAD": both("index of highways", "高速公路便利指数"),
    "TAX": both("tax per 10,000 $", "每万美元的房产税"),
    "PTRATIO": both("pupils per teacher", "师生比（每位教师的学生数）"),
    "B": both("1000 (Bk - 0.63)², Bk: share of black people", "1000 (Bk − 0.63)²，Bk 为黑人比例"),
    "LSTAT": both("people of lower status, %", "低收入阶层比例，%"),
}
CALIFORNIA = {
    "MedInc": both("median income, 10,000 $", "收入中位数，万美元"),
    "HouseAge": both("median age of the houses, years", "房龄中位数，年"),
    "AveRooms": both("rooms per household", "每户房间数"),
    "AveBedrms": both("bedrooms per household", "每户卧室数"),
    "Population": both("people", "人口"),
    "AveOccup": both("people per household", "每户人数"),
    "Latitude": both("latitude, degrees", "纬度，度"),
    "Longitude": both("longitude, degrees", "经度，度"),
}
PRICES = {"boston": "MEDV", "california": "MedHouseVal"}
CAPS = {"boston": 50.0, "california": 500.001}  # 1,000 $, above which the value was cut off


@dataclass(frozen=True)
class Table:
    """`x` float64 (N, F) in the order of `names`, and `y` float64 (N): median house values, 1,000 $."""

    names: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    price: str
    cap: float

    def without(self, name: str) -> Table:
        """The table with one column less."""
        kept = [k for k, each in enumerate(self.names) if each != name]
        return replace(self, names=tuple(self.names[k] for k in kept), x=self.x[:, kept])


def read(folder: Path, dataset: str) -> Table:
    """The table of `dataset`. Raises UserError where the file in `folder` is anything else."""
    table = _boston(folder) if dataset == "boston" else _california(folder)
    if len(table.y) < LEAST or not (table.y > 0).all() or table.y.min() == table.y.max():
        raise UserError(f"{shown(folder)} does not hold {LEAST} districts with prices above 0",
                        f"./inv data {dataset} --verify")  # fmt: skip
    return table


def _boston(folder: Path) -> Table:
    path = folder / "boston" / "resources" / "boston_house_prices.csv"
    head, *lines = rows.read_lines(path)
    names = (*BOSTON, PRICES["boston"])
    if tuple(head) != names:
        raise UserError(f"{shown(path)} does not begin with {','.join(names)}", "./inv data boston --verify")
    values = rows.numbers(lines, names, path, first=2)
    return Table(tuple(BOSTON), values[:, :-1], values[:, -1], PRICES["boston"], CAPS["boston"])


def _california(folder: Path) -> Table:
    """Sums over a district become means per household, as scikit-learn has them: districts differ in size."""
    path = folder / "CaliforniaHousing" / "cal_housing.data"
    given = ("longitude", "latitude", "age", "rooms", "bedrooms", "people", "households", "income", "value")
    values = rows.numbers(rows.read_lines(path), given, path, first=1)
    longitude, latitude, age, rooms, bedrooms, people, households, income, value = values.T
    if not (households > 0).all():
        raise UserError(f"{shown(path)} has a district without households", "./inv data california --verify")
    columns = (income, age, rooms / households, bedrooms / households, people, people / households, latitude, longitude)
    return Table(tuple(CALIFORNIA), np.stack(columns, axis=1), value / 1000, PRICES["california"], CAPS["california"])


def meanings(table: Table) -> list[object]:
    """What each column of the table is, in both languages."""
    known = {**BOSTON, **CALIFORNIA}
    return [known[name] for name in table.names]
