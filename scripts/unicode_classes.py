#!/usr/bin/env python3
"""Writes rt/text/unicode_classes.inc from the Unicode Character Database.

  scripts/unicode_classes.py [FOLDER] > rt/text/unicode_classes.inc

FOLDER holds UnicodeData.txt and PropList.txt (Debian's package unicode-data puts them into
/usr/share/unicode).
"""

import pathlib
import sys

CLASSES = {"L": 1, "M": 2, "N": 3, "P": 4, "S": 5}
WHITE_SPACE = 6
LAST = 0x10FFFF


def read_classes(folder):
    classes = bytearray(LAST + 1)
    first = None
    for line in (folder / "UnicodeData.txt").read_text().splitlines():
        code, name, category = line.split(";")[:3]
        code = int(code, 16)
        if name.endswith(", First>"):
            first = code
            continue
        begin = first if name.endswith(", Last>") else code
        first = None
        value = CLASSES.get(category[0], 0)
        for i in range(begin, code + 1):
            classes[i] = value
    for line in (folder / "PropList.txt").read_text().splitlines():
        fields = line.split("#")[0].split(";")
        if len(fields) != 2 or fields[1].strip() != "White_Space":
            continue
        ends = [int(end, 16) for end in fields[0].strip().split("..")]
        for i in range(ends[0], ends[-1] + 1):
            classes[i] = WHITE_SPACE
    return classes


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/unicode")
    version = (folder / "PropList.txt").read_text().split("-", 1)[1].split(".txt")[0]
    classes = read_classes(folder)
    starts = [i for i in range(LAST + 1) if i == 0 or classes[i] != classes[i - 1]]
    print(f"// Written by scripts/unicode_classes.py from the Unicode Character Database {version}.")
    print("// One value a run of code points: its first one * 8 + its UnicodeClass.")
    words = [f"{start * 8 + classes[start]:#x}," for start in starts]
    line = ""
    for word in words:
        if len(line) + 1 + len(word) > 100:
            print(line)
            line = ""
        line += (" " if line else "") + word
    print(line)


main()
