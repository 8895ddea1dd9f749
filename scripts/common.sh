# Sourced by the scripts beside it.

# The lines that tell what went wrong in a build or a test run.
failures_in() {
  grep -aE '^[[:space:]]*[0-9]+ - .*[(][^)]*[)]$|: (fatal )?error: |^FAILED: |ERROR: AddressSanitizer' "$1" |
    grep -av '[(]Skipped[)]$' | cut -c 1-300 | tail -n 20 || true
}

# Runs a command and shows its output only where it fails. Where failed_log names a file, what went
# wrong is added to it.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 200 "$log" >&2
    [[ -z ${failed_log:-} ]] || failures_in "$log" >>"$failed_log"
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
