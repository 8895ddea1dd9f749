#!/usr/bin/env bash
# Fails where an include points the wrong way, or where the runtime uses a header that is not on its
# closed list.
#   includes.sh SOURCE_DIRECTORY
set -euo pipefail
cd "$1"
export LC_ALL=C

# Each line: file, then what it includes, with its brackets or quotes.
includes() {
  grep -rE '^[[:space:]]*#[[:space:]]*include' --include='*.h' --include='*.hpp' --include='*.cpp' \
    "$@" | sed -E 's/^([^:]+):[[:space:]]*#[[:space:]]*include[[:space:]]*([<"][^>"]*[>"]).*/\1 \2/'
}

runtime=$(includes rt spirv/words | awk '
  function rank(path) {
    if (path ~ /^rt\/base\//) return 1
    if (path ~ /^rt\/mem\//) return 2
    if (path ~ /^rt\/model\//) return 3
    if (path ~ /^rt\/text\//) return 4
    if (path ~ /^rt\/kernels\//) return 5
    if (path ~ /^rt\/vk\//) return 6
    if (path ~ /^rt\/load\./) return 7
    if (path ~ /^rt\/plan[.\/]/) return 8
    if (path ~ /^rt\/record[.\/]/) return 9
    if (path ~ /^rt\/step[.\/]/) return 10
    if (path ~ /^rt\/engine[.\/]/) return 11
    if (path ~ /^rt\/(config|error|nibble|sampling|state|stop|text|timings)\./) return 12
    return 0
  }
  BEGIN {
    split("array bit cstddef cstdint cstring limits span string_view type_traits utility", std)
    for (i in std) allowed["<" std[i] ">"] = 1
  }
  function say(text) { print "  " $1 " includes " $2 ": " text }
  {
    file = $1; name = substr($2, 2, length($2) - 2)
    public_c = file ~ /^rt\/(config|error|nibble|sampling|state|stop|text|timings)\.h$/
    if (file ~ /^spirv\/words\//) {
      if ($2 !~ /^[<"](cstdint|rt\/kernels\/.*|spirv\/.*)[>"]$/) say("words include kernels only")
      next
    }
    if (rank(file) == 0) say("this file has no place in the order of rt")
    if ($2 ~ /^</) {
      if (allowed[$2]) next
      if (public_c && name ~ /^std(def|int)\.h$/) next
      if (name == "vulkan/vulkan_core.h" && rank(file) >= 6) next
      if (name ~ /^flatbuffers\//) {
        if (file !~ /^rt\/(model\/[a-z0-9_]+\.cpp|load\.cpp)$/) say("FlatBuffers stay in model and load.cpp")
        next
      }
      say("not on the closed list of standard headers")
      next
    }
    if (name == "schema_generated.h") {
      if (file !~ /^rt\/(model\/[a-z0-9_]+\.cpp|load\.cpp)$/) say("FlatBuffers stay in model and load.cpp")
    } else if (name ~ /^spirv\//) {
      if (rank(file) < 5) say("shader structs belong to kernels and above")
    } else if (name !~ /^rt\//) {
      say("the runtime includes rt and spirv only, written from the root")
    } else if (rank(name) == 0) {
      say("it has no place in the order of rt")
    } else if (rank(name) > rank(file) && !(file == "rt/nibble.hpp" && name == "rt/nibble.h")) {
      # The public headers are plain C; whoever fills their structs may read them.
      if (name != "rt/nibble.h" || rank(file) < 9) say("points up")
    } else if (rank(file) == 8 && rank(name) == 6) {
      say("plan makes no Vulkan call")
    }
  }')

host=$(includes compiler tools boards 2>/dev/null | awk '
  $1 ~ /^compiler\// && $2 ~ /^"rt\/(vk|record|step|engine)[.\/]/ {
    print "  " $1 " includes " $2 ": the compiler makes no Vulkan call"
  }' || true)

if [[ -n $runtime$host ]]; then
  echo "includes against the rules:"
  printf '%s\n' "$runtime" "$host" | sed '/^$/d'
  exit 1
fi
