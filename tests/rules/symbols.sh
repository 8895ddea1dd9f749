#!/usr/bin/env bash
# Fails where libnibble.a needs a symbol that is not in the allowed list, or holds a section that
# firmware must not have: constructors, unwind tables, writable data.
#   symbols.sh LIBRARY ALLOWED NM OBJDUMP POSITION_INDEPENDENT(ON|OFF)
set -euo pipefail
library=$1 allowed=$2 nm=$3 objdump=$4 pic=$5
export LC_ALL=C
bad=0

defined=$("$nm" --defined-only --format=posix "$library" | awk 'NF >= 3 { print $1 }' | sort -u)
wanted=$("$nm" --undefined-only --format=posix "$library" |
  awk 'NF >= 2 && $2 ~ /^[UwvWV]$/ { print $1 }' | sort -u)
outside=$(comm -13 <(echo "$defined") <(echo "$wanted"))
if [[ $pic == ON ]]; then
  outside=$(grep -vx '_GLOBAL_OFFSET_TABLE_' <<<"$outside" || true)
fi
extra=$(comm -13 <(grep -v '^#' "$allowed" | sort -u) <(echo "$outside") | sed '/^$/d')
if [[ -n $extra ]]; then
  echo "libnibble.a needs symbols that are not in $allowed:"
  "$nm" -A --undefined-only "$library" | grep -wF -f <(echo "$extra") | sed 's/^/  /'
  bad=1
fi

sections=$("$objdump" -h "$library" | awk -v pic="$pic" '
  /file format/ { member = $1 }
  $1 ~ /^[0-9]+$/ {
    name = $2; empty = $3 ~ /^0+$/
    if (name ~ /^\.(init_array|ctors|eh_frame|gcc_except_table|tdata|tbss)/)
      print "  " member " " name
    else if (name ~ /^\.data\.rel\.ro/ && pic == "ON")
      next
    else if (name ~ /^\.(data|bss)/ && !empty)
      print "  " member " " name " 0x" $3 " bytes"
  }')
if [[ -n $sections ]]; then
  echo "libnibble.a holds sections that it must not have:"
  echo "$sections"
  bad=1
fi
echo "symbols from outside:" $outside
exit $bad
