# Sourced by the scripts beside it.

# Runs a command and shows its output only where it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 200 "$log" >&2
    echo "failed: $*" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# Configures and builds a preset of CMakePresets.json; further arguments are targets.
build_preset() {
  local preset=$1 arguments=()
  shift
  command -v ccache >/dev/null && arguments+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  echo "building: $preset"
  quietly cmake --preset "$preset" "${arguments[@]}" &&
    quietly cmake --build --preset "$preset" ${1:+--target "$@"}
}
