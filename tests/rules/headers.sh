#!/usr/bin/env bash
# Fails where a header of the runtime does not compile on its own.
#   headers.sh SOURCE_DIRECTORY GENERATED_DIRECTORY C_COMPILER CXX_COMPILER
set -euo pipefail
source=$1 generated=$2 cc=$3 cxx=$4
cd "$source"
bad=0
while read -r header; do
  if ! echo "#include \"$header\"" |
    "$cxx" -x c++ -std=c++20 -fsyntax-only -fno-exceptions -fno-rtti -Wall -Wextra -Wconversion \
      -Wshadow -Wundef -Werror -I. -isystem "$generated" -; then
    echo "$header does not compile alone"
    bad=1
  fi
done < <(find rt -name '*.h' -o -name '*.hpp' | sort)
for header in rt/{nibble,config,error,sampling,state,stop,text,timings}.h; do
  echo "#include \"$header\"" |
    "$cc" -x c -std=c99 -pedantic -fsyntax-only -Wall -Wextra -Werror -I. - ||
    { echo "$header is not plain C99"; bad=1; }
done
exit $bad
