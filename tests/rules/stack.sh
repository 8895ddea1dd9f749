#!/usr/bin/env bash
# Prints the stack that every function of rt/nibble.h takes at most, by the compiler's own call
# graph, and fails where one is above the limit, where a function calls itself, takes a stack that
# depends on its arguments, or has a larger frame than promised. What Vulkan and the caller's hooks
# take comes on top.
#   stack.sh OBJECT_LIST
# OBJECT_LIST names the object files, one a line, compiled with -fcallgraph-info=su.
set -euo pipefail
objects=$1
frame_limit=1024 limit=4096
export LC_ALL=C

mapfile -t graphs < <(sed '/^$/d; /spirv\/words/d; s/\.o$/.ci/' "$objects")

awk -v frame_limit="$frame_limit" -v limit="$limit" '
  function complain(what) { print "stack: " what; bad = 1 }

  function depth(f,    list, n, i, d, best) {
    if (f in known) return known[f]
    if (f in active) { complain(name[f] " calls itself"); return 0 }
    active[f] = 1
    n = split(calls[f], list, "\n")
    for (i = 1; i <= n; ++i) {
      if (list[i] == "") continue
      d = depth(list[i])
      if (d > best) { best = d; deepest[f] = list[i] }
    }
    delete active[f]
    return known[f] = best + frame[f]
  }

  /^node:/ {
    split($0, part, "\"")
    split(part[4], field, "\\\\n")
    f = part[2]
    name[f] = field[1]
    if (match(part[4], /[0-9]+ bytes \([a-z,]+\)/)) {
      split(substr(part[4], RSTART, RLENGTH), word, " ")
      if (word[1] + 0 > frame[f]) frame[f] = word[1] + 0
      if (word[3] == "(dynamic)") complain(field[1] " takes a stack without a bound")
    }
  }
  /^edge:/ {
    split($0, part, "\"")
    calls[part[2]] = calls[part[2]] "\n" part[4]
    if (part[4] == "__indirect_call" && part[2] ~ /run_on/) run_on = part[2]
  }

  END {
    # The one function of ours that is called by its address: the work of a public function, which
    # run_on() in rt/nibble.cpp calls for it.
    for (f in frame) {
      if (f !~ /_FUN/ || !match(f, /[0-9]nbl_[a-z_]+/)) continue
      public = substr(f, RSTART + 1, RLENGTH - 1)
      frame["work of " public] = frame[run_on]
      name["work of " public] = name[run_on]
      calls["work of " public] = f
      calls[public] = calls[public] "\nwork of " public
      ++works
    }
    if (works == 0) complain("found no function called by its address: is run_on() gone?")
    for (f in frame) {
      if (frame[f] > frame_limit) complain(name[f] " has a frame of " frame[f] " bytes, limit " frame_limit)
      if (frame[f] > largest) { largest = frame[f]; widest = f }
      if (f !~ /^nbl_/) continue
      d = depth(f)
      printf "%-28s %5d of %5d\n", f, d, limit | "sort"
      if (d > limit) complain(f " takes " d " bytes of stack, limit " limit)
      if (d > most) { most = d; top = f; top_name = f }
      ++count
    }
    close("sort")
    if (count == 0) complain("found no function of rt/nibble.h")
    print "deepest:"
    for (f = top; f != ""; f = deepest[f]) printf "  %5d %s\n", frame[f], name[f]
    printf "largest frame %d of %d: %s\n", largest, frame_limit, name[widest]
    printf "[  FIGURE  ] deepest stack %d bytes (%s), largest frame %d\n", most, top_name, largest
    exit bad
  }' "${graphs[@]}"
