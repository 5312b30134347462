"""Ways in which the files of a run go bad, each drawn by a seed and applied to a folder."""

import json
import os
import pickle
import shutil

import h5py
import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file

#: Written by whatever runs the code that some of the corruptions hold.
MARKER = "code-was-run"


class _Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (self.marker, "w"))


def corrupt(folder, other, rng):
    """Spoil one file of a run.

    Parameters
    ----------
    folder
        The run, changed in place.
    other
        Another run, for files that are whole and not this one's.
    rng
        NumPy generator, which decides the file and what becomes of it.

    Returns
    -------
    str
        The file, and what was done, in words.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    weights = np.array([_WEIGHTS.get(path.suffix, 0.2) for path in files])
    path = files[rng.choice(len(files), p=weights / weights.sum())]
    own = _OF_SUFFIX.get(path.suffix, [])
    # The ways of a kind of file are as likely as those that any file can go.
    chosen = own if own and rng.random() < 0.6 else _OF_ANY
    way = chosen[rng.integers(len(chosen))]
    said = way(path, rng, other=other / path.relative_to(folder))
    return f"{path.relative_to(folder)}: {way.__name__}{f' ({said})' if said else ''}"


def flipped_bits(path, rng, **_):
    content = bytearray(path.read_bytes())
    count = int(rng.choice([1, 1, 3, 50]))
    for place in rng.integers(len(content), size=count):
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    return count


def truncated(path, rng, **_):
    content = path.read_bytes()
    kept = int(rng.choice([0, 1, len(content) // 2, len(content) - 1, rng.integers(len(content))]))
    path.write_bytes(content[:kept])
    return kept


def zeros(path, rng, **_):
    content = bytearray(path.read_bytes())
    start, end = sorted(int(place) for place in rng.integers(len(content) + 1, size=2))
    if rng.random() < 0.3:
        start, end = 0, len(content)
    content[start:end] = bytes(end - start)
    path.write_bytes(content)
    return f"{start}:{end}"


def appended(path, rng, **_):
    more = [b"\0", b"\n", b"1", path.read_bytes(), rng.bytes(1000)]
    with path.open("ab") as file:
        file.write(more[rng.integers(len(more))])


def noise(path, rng, **_):
    path.write_bytes(rng.bytes(int(rng.integers(1, 5000))))


def missing(path, rng, **_):
    path.unlink()


def a_folder(path, rng, **_):
    path.unlink()
    path.mkdir()
    if rng.random() < 0.5:
        (path / "inside").write_text("")


def a_link(path, rng, *, other):
    path.unlink()
    target = [path.name, "nothing", "/dev/null", "/dev/zero", ".", str(other)][rng.integers(6)]
    path.symlink_to(target)
    return target


def a_pipe(path, rng, **_):
    path.unlink()
    os.mkfifo(path)


def of_another_run(path, rng, *, other):
    if other.is_file():
        shutil.copyfile(other, path)


def swapped(path, rng, **_):
    others = sorted(p for p in path.parent.iterdir() if p.is_file() and p != path)
    if not others:
        return "alone"
    with_this = others[rng.integers(len(others))]
    first, second = path.read_bytes(), with_this.read_bytes()
    path.write_bytes(second)
    with_this.write_bytes(first)
    return with_this.name


def a_pickle(path, rng, **_):
    bomb = _Bomb(str(path.parent / MARKER))
    if rng.random() < 0.5:
        path.write_bytes(pickle.dumps(bomb))
        return "bare"
    with path.open("wb") as file:
        np.save(file, np.array([bomb], dtype=object), allow_pickle=True)
    return "npy"


_OF_ANY = [
    *(flipped_bits, flipped_bits, truncated, zeros, appended, noise, missing, a_folder, a_link),
    *(a_pipe, of_another_run, swapped, a_pickle),
]

_VALUES = [
    *(None, True, False, "", "text", "1", "nan", -1, 0, 1, 3, 0.5, 1e-300, 1e308, 10**30),
    -(2**63),
    *(float("nan"), float("inf"), [], {}, [1, [2]], {"name": "x"}, ["a"] * 5, 1_000_000_000),
]
# Settings that exist, in the place of others: nothing but the meaning is wrong.
_OTHERS = [
    *("latent", "per-feature", "exp", "tanh", "iwae-5", "cosine", "vae", "pca", "mixture"),
    *("student-t", "laplace", "poisson", "digits", "moons", "iris", "dense", "64-true"),
]


def _places(document, path=()):
    """Every key of nested settings."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, key))


def _holder(document, place):
    for key in place[:-1]:
        document = document[key]
    return document


def another_value(path, rng, **_):
    document = json.loads(path.read_text())
    places = list(_places(document))
    place = places[rng.integers(len(places))]
    values = _OTHERS if rng.random() < 0.25 else _VALUES
    value = values[rng.integers(len(values))]
    _holder(document, place)[place[-1]] = value
    path.write_text(json.dumps(document))
    return f"{'.'.join(map(str, place))} = {value!r}"


def a_number_more(path, rng, **_):
    document = json.loads(path.read_text())
    places = [
        place
        for place in _places(document)
        if type(_holder(document, place)[place[-1]]) in (int, float)
    ]
    place = places[rng.integers(len(places))]
    _holder(document, place)[place[-1]] += 1
    path.write_text(json.dumps(document))
    return f"{'.'.join(map(str, place))} + 1"


def without_a_key(path, rng, **_):
    document = json.loads(path.read_text())
    places = [place for place in _places(document) if isinstance(_holder(document, place), dict)]
    place = places[rng.integers(len(places))]
    value = _holder(document, place).pop(place[-1])
    if rng.random() < 0.3:
        _holder(document, place)[f"{place[-1]}s"] = value
    path.write_text(json.dumps(document))
    return ".".join(map(str, place))


def a_key_twice(path, rng, **_):
    lines = path.read_text().splitlines()
    single = [n for n, line in enumerate(lines) if '": ' in line and line.endswith(",")]
    number = single[rng.integers(len(single))]
    key = lines[number].split(":")[0]
    lines.insert(number + 1, f"{key}: 7,")
    path.write_text("\n".join(lines))
    return key.strip()


def deep(path, rng, **_):
    levels = int(rng.choice([500, 5000, 200_000]))
    opening, closing = [("[", "]"), ('{"a":', "}")][rng.integers(2)]
    nested = opening * levels + "1" + closing * levels
    text = path.read_text()
    whole = [nested, text.replace('"seed": 0', f'"seed": {nested}', 1)]
    path.write_text(whole[rng.integers(2)])
    return levels


def other_text(path, rng, **_):
    text = path.read_text()
    ways = {
        "utf-16": text.encode("utf-16"),
        "BOM": b"\xef\xbb\xbf" + text.encode(),
        "bad utf-8": text.replace("seed", "se\udc80d").encode("utf-8", "surrogateescape"),
        "NaN": text.replace(": 0", ": NaN").encode(),
        "a long number": text.replace(": 0", f": {'9' * 5000}").encode(),
        "a list": f"[{text}]".encode(),
        "spaces": text.replace(" ", "").encode(),
    }
    way = list(ways)[rng.integers(len(ways))]
    path.write_bytes(ways[way])
    return way


def another_cell(path, rng, **_):
    rows = [line.split(",") for line in path.read_text().splitlines()]
    row, column = rng.integers(len(rows)), rng.integers(len(rows[0]))
    values = ["1", "-7.5", "nan", "", "inf", "1e999", "x", '"', "1\x002", "0x10", "9" * 400]
    value = values[rng.integers(len(values))]
    rows[row][column] = value
    path.write_text("\n".join(",".join(cells) for cells in rows) + "\n")
    return f"{row}, {column} = {value[:10]!r}"


def other_rows(path, rng, **_):
    lines = path.read_text().splitlines()
    ways = {
        "one twice": [*lines, lines[-1]],
        "one missing": lines[:-1],
        "header alone": lines[:1],
        "header missing": lines[1:],
        "a cell more": [*lines[:-1], lines[-1] + ",5"],
        "a cell less": [*lines[:-1], lines[-1].rsplit(",", 1)[0]],
        "another order": [lines[0], *reversed(lines[1:])],
    }
    way = list(ways)[rng.integers(len(ways))]
    path.write_text("\n".join(ways[way]) + "\n")
    return way


def other_tensors(path, rng, **_):
    with safe_open(path, framework="pt") as file:
        notes, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    name = sorted(tensors)[rng.integers(len(tensors))]
    tensor = tensors.pop(name)
    ways = ["value", "value", "NaN", "missing", "name", "shape", "type", "notes", "no notes"]
    way = ways[rng.integers(len(ways))]
    if way == "value":
        tensors[name] = tensor + 1e-3
    elif way == "NaN":
        tensors[name] = tensor * float("nan")
    elif way == "name":
        tensors[f"{name}s"] = tensor
    elif way == "shape":
        tensors[name] = tensor[None]
    elif way == "type":
        tensors[name] = tensor.double()
    elif way == "no notes":
        tensors[name], notes = tensor, None
    elif way == "notes":
        tensors[name] = tensor
        told = json.loads(notes["notes"])
        key = sorted(told)[rng.integers(len(told))]
        told[key] = [None, 0, 1, "x", [], -1, "epochs", "0x1.8p+3"][rng.integers(8)]
        notes = {**notes, "notes": json.dumps(told)}
        way = f"{key} = {told[key]!r}"
    save_file(tensors, path, notes)
    return f"{name}, {way}"


def other_header(path, rng, **_):
    content = path.read_bytes()
    deeply = '{"a":' * 20_000 + "1" + "}" * 20_000
    headers = [deeply, "{}", "[]", '{"__metadata__": {"notes": "["}}']
    text = headers[rng.integers(4)].encode()
    text += b" " * (-len(text) % 8)
    body = content[8 + int.from_bytes(content[:8], "little") :]
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return text[:10].decode()


def another_attribute(path, rng, **_):
    with h5py.File(path, "r+") as file:
        names = [name for name in file.attrs if not name.startswith("_")]
        name = names[rng.integers(len(names))]
        before = file.attrs[name]
        values = [0, 1, 0.5, "x", "", np.arange(3), np.nan, None, "counting", -1]
        value = values[rng.integers(len(values))]
        if rng.random() < 0.3 and isinstance(before, np.integer | np.floating | int | float):
            value = before + 1
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    return f"{name} = {value!r}"


def other_values(path, rng, **_):
    with h5py.File(path, "r+") as file:
        names = sorted(name for name in file if file[name].ndim and name != "datum")
        name = names[rng.integers(len(names))]
        values = file[name][...]
        way = ["value", "NaN", "missing", "text", "shape"][rng.integers(5)]
        if way == "value":
            file[name][...] = values + 1
        elif way == "NaN":
            file[name][...] = values * np.nan
        else:
            del file[name]
            if way == "text":
                file[name] = ["a"] * len(values)
            elif way == "shape":
                file[name] = np.concatenate([values, values])
    return f"{name}, {way}"


_WEIGHTS = {".json": 8.0, ".safetensors": 3.0, ".nc": 2.0, ".csv": 3.0, ".npy": 0.5}
_OF_SUFFIX = {
    ".json": [
        *([another_value] * 8),
        *(a_number_more, a_number_more, without_a_key, without_a_key),
        *(a_key_twice, deep, other_text),
    ],
    ".csv": [another_cell, another_cell, other_rows],
    ".safetensors": [other_tensors, other_tensors, other_header],
    ".nc": [another_attribute, other_values],
}
