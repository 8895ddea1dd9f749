#!/usr/bin/env bash
# Could break: stack.sh lets pass what it is there to find. Each planted function must be named.
#   stack_test.sh COMPILER
set -euo pipefail
compiler=$1
here=$(dirname "${BASH_SOURCE[0]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What every planted library has beside its fault.
sound='
using Work = int (*)(const void*);
extern int outside(Work, const void*);
__attribute__((noinline)) static int run_on(Work work, const void* context) {
  volatile char room[64];
  room[0] = 1;
  return work(context) + room[0];
}
template <typename Lambda>
static int run(const Lambda& work) {
  return run_on([](const void* at) { return (*static_cast<const Lambda*>(at))(); }, &work);
}
extern int fill(volatile char*);
extern "C" int nbl_sound(int x) { return run([&] { volatile char room[200]; return fill(room) + x; }); }
'
check() {
  local expected=$1 code=$2 rc=0
  printf '%s\n%s\n' "$sound" "$code" >"$work/unit.cpp"
  "$compiler" -std=c++20 -O1 -fcallgraph-info=su -c "$work/unit.cpp" -o "$work/unit.cpp.o"
  echo "$work/unit.cpp.o" >"$work/list"
  bash "$here/stack.sh" "$work/list" >"$work/said" || rc=1
  if ! grep -q -- "$expected" "$work/said" || { [[ $expected == stack:* ]] && ((rc == 0)); }; then
    echo "expected: $expected"
    cat "$work/said"
    exit 1
  fi
}

check '^nbl_sound  *3[0-9][0-9] of' ''  # the frames of nbl_sound, run_on and the work together
check 'stack: .*nbl_again.* calls itself' \
  'extern "C" int nbl_again(int x) { volatile char room[8]; return x < 2 ? fill(room) : nbl_again(x - 1) * nbl_again(x - 2) + fill(room); }'
check 'stack: .*nbl_large.* has a frame of' \
  'extern "C" int nbl_large() { volatile char room[2000]; return fill(room); }'
check 'stack: .*nbl_open_ended.* without a bound' \
  'extern "C" int nbl_open_ended(int x) { volatile char* room = static_cast<volatile char*>(__builtin_alloca(x)); return fill(room); }'
check 'stack: nbl_deep takes' '
template <int kLevel>
__attribute__((noinline)) int level(volatile char* below) {
  volatile char room[900];
  if constexpr (kLevel > 0) return level<kLevel - 1>(room) + fill(below);
  return fill(room) + fill(below);
}
extern "C" int nbl_deep() { volatile char room[8]; return level<5>(room); }'
echo "five planted libraries told apart"
