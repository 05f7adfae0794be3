"""What cantools decodes from random payloads of every message of every DBC file: the oracle of dbc_differential.rs.

Prints one JSON object a line to standard output:
  {"file": PATH, "error": WHY}                                      cantools does not load the file
  {"file": PATH}                                                    it does; its messages follow
  {"message": NAME, "payload": HEX, "values": {SIGNAL: VALUE, ...}, "unreachable": [SIGNAL, ...]}
      physical values, NaN and infinities as text; and the signals that cantools lists but never decodes, because
      their switch is named by SG_MUL_VAL_ and not marked `M`
  {"message": NAME, "error": WHY}                                   cantools does not decode this message

usage: dbc_expected.py [FILE.dbc ...]      the files of the installed opendbc package come in addition
"""

import importlib.util
import json
import math
import pathlib
import random
import sys

import cantools

SEED = 20240229
PAYLOADS = 4  # of a message
MULTIPLEXED_PAYLOADS = 24  # of a message with switches, for there is more to reach


def main():
    files = [pathlib.Path(name) for name in sys.argv[1:]]
    package = importlib.util.find_spec("opendbc")
    if package is not None:
        files += sorted(pathlib.Path(package.submodule_search_locations[0], "dbc").glob("*.dbc"))
    for file in files:
        for line in describe(file):
            print(json.dumps(line))


def describe(file):
    try:
        database = cantools.database.load_string(repaired(file), "dbc", strict=False)
    except Exception as error:  # cantools raises many kinds
        yield {"file": str(file), "error": str(error)}
        return
    yield {"file": str(file)}
    # One generator a file, so that a file's payloads do not depend on the others.
    rng = random.Random(f"{SEED} {file.name}")
    for message in database.messages:
        yield from cases(message, rng)


def repaired(file):
    """The text, with the mandatory `BS_:` where it is missing: cantools reads nothing without it."""
    text = file.read_text(encoding="utf-8", errors="replace")
    if "BS_:" in text or "BS_ :" in text:
        return text
    return text.replace("\nBO_ ", "\nBS_:\n\nBO_ ", 1)


def cases(message, rng):
    if not message.signals or message.length > 64:
        return
    unreachable = sorted({signal.name for signal in message.signals} - names_in(message.signal_tree))
    count = MULTIPLEXED_PAYLOADS if message.is_multiplexed() else PAYLOADS
    for _ in range(count):
        payload = rng.randbytes(message.length)
        try:
            payload = select(message, message.signal_tree, payload, rng)
            values = decode(message, payload)
        except cantools.database.DecodeError as error:
            yield {"message": message.name, "error": str(error)}
            return
        values = {name: plain(value) for name, value in values.items()}
        yield {"message": message.name, "payload": payload.hex(), "values": values, "unreachable": unreachable}


def names_in(tree):
    names = set()
    for node in tree:
        if isinstance(node, dict):
            for name, cases_of in node.items():
                names |= {name}.union(*(names_in(case) for case in cases_of.values()))
        else:
            names.add(node)
    return names


def decode(message, payload):
    try:
        return message.decode(payload, decode_choices=False, scaling=True)
    except cantools.database.DecodeError:
        if message.is_multiplexed():
            raise
    # Signals that overlap or run over spoil the whole message for cantools: take them one by one.
    values = {}
    for signal in message.signals:
        alone = cantools.database.can.Message(message.frame_id, "Alone", message.length, [signal], strict=False,
                                              is_extended_frame=message.is_extended_frame)
        try:
            values |= alone.decode(payload, decode_choices=False, scaling=True)
        except cantools.database.DecodeError:
            pass  # it runs over
    return values


def select(message, tree, payload, rng):
    """Gives each switch a value that selects something: cantools decodes nothing otherwise."""
    for node in tree:
        if isinstance(node, dict):
            for name, cases_of in node.items():
                value = rng.choice(sorted(cases_of))
                payload = with_raw(message.get_signal_by_name(name), payload, value)
                payload = select(message, cases_of[value], payload, rng)
    return payload


def with_raw(signal, payload, value):
    if signal.byte_order == "little_endian":
        order, shift = "little", signal.start
    else:
        first = 8 * (signal.start // 8) + 7 - signal.start % 8
        order, shift = "big", 8 * len(payload) - first - signal.length
    bits = int.from_bytes(payload, order)
    mask = ((1 << signal.length) - 1) << shift
    return ((bits & ~mask) | (value << shift & mask)).to_bytes(len(payload), order)


def plain(value):
    return value if math.isfinite(value) else str(value)


if __name__ == "__main__":
    main()
