#!/usr/bin/env python3
"""Writes what the demo model learns from: conversations with a small home, and what it is to answer.

    generate.py held-out            500 turns whose phrases are in no conversation to learn from
    generate.py train COUNT [SEED]  conversations, one JSON object a line

A turn of the held-out file is: state, TAB, what is said, TAB, the answer. Same arguments, same text.
"""

import itertools
import json
import random
import re
import sys

import phrases as p

UNITS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
         "sixteen seventeen eighteen nineteen").split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(n):
    if n == 100:
        return "a hundred"
    if n < 20:
        return UNITS[n]
    return TENS[n // 10 - 2] + (" " + UNITS[n % 10] if n % 10 else "")


def number(rng, n):
    return str(n) if rng.random() < 0.6 else in_words(n)


def expansions(phrase):
    """Every choice of the alternatives, slots left as they are."""
    parts = re.split(r"(\([^()]*\))", phrase)
    choices = [part[1:-1].split("|") if part.startswith("(") else [part] for part in parts]
    return {" ".join("".join(one).split()) for one in itertools.product(*choices)}


# --- slots: each returns what is said and what it means

def percent(rng):
    if rng.random() < 0.12:
        return rng.choice([("half", 50), ("full", 100), ("maximum", 100), ("minimum", 1)])
    n = rng.choice([rng.randint(1, 100), 5 * rng.randint(1, 20), 10 * rng.randint(1, 10)])
    said = number(rng, n)
    return said + ("%" if said.isdigit() and rng.random() < 0.3 else " percent"), n


def level(rng):
    said, n = percent(rng)
    return (said.replace(" percent", "") if rng.random() < 0.6 else said), n


def degrees(rng):
    n = rng.randint(8, 29)
    if rng.random() < 0.15:
        half = f"{n}.5" if rng.random() < 0.6 else in_words(n) + " and a half"
        return half + rng.choice(["", " degrees"]), n + 0.5
    return number(rng, n) + rng.choice(["", " degrees", " degrees"]), n


def delta(rng):
    if rng.random() < 0.15:
        return "half a degree", 0.5
    n = rng.randint(1, 5)
    if n == 1:
        return rng.choice(["one degree", "a degree", "1 degree"]), 1
    return number(rng, n) + " degrees", n


def more(rng, words):
    """A comparison that goes up or down, with its size: (said, by)."""
    up, down = words
    sign, word = rng.choice([(1, up), (-1, down)])
    size, said = rng.choice([(20, "{}"), (20, "{}"), (10, "a bit {}"), (10, "a little {}"), (40, "much {}"),
                             (40, "a lot {}")])
    return said.format(rng.choice(word)), sign * size


def brighter(rng):
    return more(rng, (["brighter", "lighter"], ["darker", "dimmer"]))


def louder(rng):
    return more(rng, (["louder"], ["quieter", "softer"]))


def up(rng):
    sign, word = rng.choice([(1, "up"), (-1, "down")])
    size, said = rng.choice([(20, "{}"), (20, "{}"), (10, "{} a bit"), (10, "{} a little"), (40, "{} a lot")])
    return said.format(word), sign * size


def direction(rng):
    return rng.choice([("up", 1), ("down", -1)])


def warmer(rng):
    sign, word = rng.choice([(1, "warmer"), (-1, "cooler"), (-1, "colder")])
    kind = rng.random()
    if kind < 0.3:
        return word, sign * 2
    if kind < 0.5:
        return rng.choice(["a bit ", "a little "]) + word, sign
    said, n = delta(rng)
    return f"{said} {word}", sign * n


def duration(rng):
    kind = rng.random()
    if kind < 0.06:
        return "half an hour", {"minutes": 30}
    if kind < 0.1:
        return "an hour and a half", {"hours": 1, "minutes": 30}
    if kind < 0.14:
        return rng.choice(["an hour", "one hour"]), {"hours": 1}
    if kind < 0.18:
        return rng.choice(["a minute", "one minute"]), {"minutes": 1}
    if kind < 0.24:
        n = rng.randint(2, 9)
        return f"{number(rng, n)} and a half minutes", {"minutes": n, "seconds": 30}
    if kind < 0.34:
        n = rng.randint(2, 12)
        return number(rng, n) + " hours", {"hours": n}
    if kind < 0.46:
        n = rng.randint(5, 90)
        return number(rng, n) + " seconds", {"seconds": n}
    if kind < 0.54:
        h, m = rng.randint(1, 5), rng.randint(2, 59)
        hours = rng.choice(["1 hour", "one hour"]) if h == 1 else number(rng, h) + " hours"
        return hours + rng.choice([" and ", " "]) + number(rng, m) + " minutes", {"hours": h, "minutes": m}
    n = rng.choice([rng.randint(2, 59), 5 * rng.randint(1, 12), rng.randint(2, 20)])
    return number(rng, n) + " minutes", {"minutes": n}


def clock_time(rng):
    """A time of day; without morning or evening it is as the clock says, from 1 to 12 before noon."""
    kind = rng.random()
    if kind < 0.04:
        return rng.choice([("noon", "12:00"), ("midnight", "00:00")])
    if kind < 0.16:  # 24 hours
        h, m = rng.randint(0, 23), rng.randint(0, 59)
        return f"{h:02d}:{m:02d}", f"{h:02d}:{m:02d}"
    h, m = rng.randint(1, 12), rng.choice([0, 0, 5 * rng.randint(0, 11), rng.randint(0, 59)])
    ways = []
    if m == 0:
        ways += [str(h), in_words(h), f"{number(rng, h)} o'clock", f"{h}:00"]
    else:
        ways.append(f"{h}:{m:02d}")
        if m >= 10:
            ways.append(f"{in_words(h)} {in_words(m)}")
        else:
            ways.append(f"{in_words(h)} oh {in_words(m)}")
        after = number(rng, h % 12 + 1)
        if m == 30:
            ways += [f"half past {number(rng, h)}"] * 2
        if m == 15:
            ways += [f"{rng.choice(['', 'a '])}quarter past {number(rng, h)}"] * 2
        if m == 45:
            ways += [f"{rng.choice(['', 'a '])}quarter to {after}"] * 2
        if m < 30:
            ways.append(f"{number(rng, m)}{rng.choice(['', ' minutes'])} past {number(rng, h)}")
        if m > 30:
            ways += [f"{number(rng, 60 - m)}{rng.choice(['', ' minutes'])} to {after}"] * 2
    said = rng.choice(ways)
    spoken_hour = h % 12 + 1 if " to " in said else h  # "ten to one" is in the hour of one
    when = rng.random()
    evening = 0
    if when < 0.2:
        said += rng.choice([" am", " am", " in the morning"])
        h = h % 12
    elif when < 0.32 and 4 <= spoken_hour <= 11 and h != 12:
        said += rng.choice([" pm", " in the evening"])
        evening = 12
    elif when < 0.4 and (spoken_hour <= 5 or h == 12):
        said += rng.choice([" pm", " in the afternoon"])
        evening = 0 if h == 12 else 12
    return said, f"{h + evening:02d}:{m:02d}"


def days(rng):
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(["on weekdays", "every weekday", "from monday to friday"]), "weekdays"
    if kind < 0.5:
        return rng.choice(["on weekends", "on the weekend", "at the weekend", "every weekend"]), "weekends"
    if kind < 0.7:
        return rng.choice(["every day", "each day", "daily", "every morning"]), "daily"
    if kind < 0.8:
        return rng.choice(["tomorrow", "tomorrow morning"]), "tomorrow"
    day = rng.choice(p.DAYS)
    return rng.choice(["on {}", "every {}", "next {}"]).format(day), day


def music(rng):
    said = rng.choice(sorted(p.MUSIC))
    return said, p.MUSIC[said]


def pick(words):
    return lambda rng: (lambda word: (word, word))(rng.choice(words))


SLOTS = {
    "room": pick(p.ROOMS), "color": pick(p.COLORS), "music": music, "name": pick(p.TIMERS),
    "thing": pick(p.NO_DEVICE), "percent": percent, "level": level, "degrees": degrees,
    "delta": delta, "brighter": brighter, "louder": louder, "up": up, "warmer": warmer,
    "duration": duration, "time": clock_time, "days": days, "clock": clock_time,
    "number": lambda rng: (number(rng, rng.randint(1, 100)),) * 2,
}


# --- answers

def answer(request, v, state):
    """What the model is to write. v: the slots' meanings; state: what the home is like."""
    room = v.get("room", "all")
    if request in ("light_on", "light_off"):
        return {"light": room, "set": request[6:]}
    if request in ("all_on", "all_off"):
        return {"light": "all", "set": request[4:]}
    if request == "light_level":
        return {"light": room, "level": v["percent"]}
    if request == "light_by":
        return {"light": room, "by": v.get("brighter", v.get("up"))}
    if request == "light_color":
        return {"light": room, "color": v["color"]}
    if request == "heat_to":
        return {"heat": room, "to": v["degrees"]}
    if request == "heat_by":
        return {"heat": room, "by": v["warmer"] if "warmer" in v else v["up"] * v["delta"]}
    if request == "heat_off":
        return {"heat": room, "set": "off"}
    if request == "play":
        return {"music": "play", "what": v["music"]}
    if request == "play_in":
        return {"music": "play", "what": v["music"], "room": room}
    if request in ("pause", "resume", "stop", "next", "previous"):
        return {"music": request}
    if request == "volume_to":
        return {"volume": v["level"]}
    if request == "volume_by":
        return {"volume_by": v.get("louder", v.get("up"))}
    if request == "timer":
        return {"timer": "start", **v["duration"]}
    if request == "timer_named":
        return {"timer": "start", "name": v["name"], **v["duration"]}
    if request == "timer_cancel":
        return {"timer": "cancel", "name": v["name"]}
    if request == "alarm_once":
        return {"alarm": v["time"]}
    if request == "alarm_days":
        return {"alarm": v["time"], "days": v["days"]}
    if request == "alarm_off":
        return {"alarm": "off"}
    if request == "ask_light":
        light = state.get(("light", room))
        return {"answer": "unknown" if light is None else "yes" if light else "no"}
    if request == "ask_level":
        return {"answer": state.get(("light", room), "unknown")}
    if request == "ask_heat":
        return {"answer": state.get(("heat", room), "unknown")}
    if request in ("ask_music", "ask_volume", "ask_alarm"):
        return {"answer": state.get(request[4:], "unknown")}
    if request == "ask_timer":
        return {"answer": state.get(("timer", v["name"]), "unknown")}
    if request == "no_device":
        return {"refuse": "no such device"}
    if request == "cannot":
        return {"refuse": "cannot do that"}
    raise ValueError(request)


# --- the home, and how it is written

def random_state(rng):
    state = {}
    for room in rng.sample(p.ROOMS, rng.randint(0, 4)):
        state["light", room] = rng.choice([0, 100, rng.randint(1, 99)])
    for room in rng.sample(p.ROOMS, rng.randint(0, 3)):
        state["heat", room] = rng.choice([rng.randint(8, 29), rng.randint(8, 28) + 0.5])
    for name in rng.sample(p.TIMERS, rng.choice([0, 0, 1, 2])):
        minutes = rng.randint(1, 59)
        state["timer", name] = f"{minutes} minutes" if minutes != 1 else "1 minute"
    if rng.random() < 0.4:
        state["music"] = rng.choice(sorted(set(p.MUSIC.values())) + ["nothing"])
    if rng.random() < 0.4:
        state["volume"] = rng.randint(0, 100)
    if rng.random() < 0.4:
        state["alarm"] = clock_time(rng)[1] + rng.choice(["", " weekdays", " daily", " weekends"])
    return state


def state_text(rng, state):
    """The facts in any order: "hallway light 40, kitchen light off, bedroom 19 degrees, playing jazz"."""
    facts = []
    for key, value in state.items():
        if key == "music":
            facts.append(f"playing {value}")
        elif isinstance(key, str):
            facts.append(f"{key} {value}")
        elif key[0] == "light":
            facts.append(f"{key[1]} light {value if value else 'off'}")
        elif key[0] == "heat":
            facts.append(f"{key[1]} {value} degrees")
        else:
            facts.append(f"{key[1]} timer {value}")
    rng.shuffle(facts)
    return ", ".join(facts)


# --- turns

class Source:
    def __init__(self, phrases):
        self.requests = sorted(phrases)
        self.phrases = {name: sorted(set().union(*map(expansions, lines))) for name, lines in phrases.items()}
        self.lines = phrases

    def turn(self, rng, request, state):
        # A line first, so that those with many alternatives do not crowd out the others.
        phrase = rng.choice(sorted(expansions(rng.choice(self.lines[request]))))
        meanings = {}

        def fill(match):
            slot = match.group(1)
            choose = direction if slot == "up" and "by {delta}" in phrase else SLOTS[slot]
            if slot in ("room", "name") and request.startswith("ask_") and rng.random() < 0.8:
                kind = {"ask_light": "light", "ask_level": "light", "ask_heat": "heat", "ask_timer": "timer"}[request]
                known = [key[1] for key in state if key[0] == kind]
                if known:
                    choose = pick(known)
            said, meanings[slot] = choose(rng)
            return said

        said = re.sub(r"\{(\w+)\}", fill, phrase)
        return dress(rng, said, request), answer(request, meanings, state)


def dress(rng, said, request):
    """Politeness, capitals and full stops around a phrase."""
    verb = said.split()[0] in p.VERBS
    asks = request.startswith("ask_") or said.split()[0] in ("is", "did", "what", "how", "when", "who", "will", "do")
    if rng.random() < 0.3:
        before = rng.choice([b for b in p.BEFORE if verb or b not in p.BEFORE_VERB])
        comma = "," if before in ("hey", "hi", "ok", "hello") and rng.random() < 0.5 else ""
        said = f"{before}{comma} {said}"
        asks = asks or before in p.BEFORE_VERB
    if rng.random() < 0.25:
        after = rng.choice([a for a in p.AFTER if verb or a not in ("for me", "will you")])
        said = f"{said}{',' if rng.random() < 0.4 else ''} {after}"
    style = rng.random()
    if style < 0.5:
        said = said[0].upper() + said[1:]
        if style < 0.3:
            said += "?" if asks else rng.choice([".", ".", ".", "!"])
        said = re.sub(r"\bi\b", "I", said)
    return said


def conversation(rng, source):
    """A state that may be empty, and turns. Only the first may ask: later the state is another."""
    state = random_state(rng) if rng.random() < 0.6 else {}
    kind = rng.random()
    count = 1 if kind < 0.6 else rng.randint(2, 4) if kind < 0.85 else rng.randint(5, 24)
    turns = []
    for i in range(count):
        asking = i == 0 and state and rng.random() < 0.5
        requests = [r for r in source.requests if r.startswith("ask_") == bool(asking)]
        if i == 0 and not state and rng.random() < 0.05:
            requests = [r for r in source.requests if r.startswith("ask_")]
        turns.append(source.turn(rng, rng.choice(requests), state))
    return {"state": state_text(rng, state), "turns": [[said, to_json(what)] for said, what in turns]}


def to_json(what):
    return json.dumps(what, separators=(",", ":"))


def check_apart():
    train = {e for lines in p.TRAIN.values() for line in lines for e in expansions(line)}
    for request, lines in p.HELD_OUT.items():
        for line in lines:
            for one in expansions(line):
                assert one not in train, f"{request}: {one!r} is learnt from too"


def held_out(count, seed=20261121):
    check_apart()
    rng = random.Random(seed)
    source = Source(p.HELD_OUT)
    rows = []
    while len(rows) < count:
        request = source.requests[len(rows) % len(source.requests)]
        asks = request.startswith("ask_")
        state = random_state(rng) if asks or rng.random() < 0.5 else {}
        said, what = source.turn(rng, request, state)
        rows.append((state_text(rng, state), said, to_json(what)))
    return rows


def train(count, seed):
    check_apart()
    rng = random.Random(seed)
    source = Source(p.TRAIN)
    for _ in range(count):
        yield conversation(rng, source)


def main():
    if sys.argv[1:] == ["held-out"]:
        for row in held_out(500):
            print("\t".join(row))
    elif sys.argv[1:2] == ["train"]:
        for one in train(int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1):
            print(json.dumps(one))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
