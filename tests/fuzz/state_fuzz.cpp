// Could break: the bytes of a saved state lead loading out of them, or into a sequence that no
// engine could have saved.
//
// Input  what nbl_save_state() wrote for state_model.h. Rows go nowhere: there is no device.
#include <cstring>
#include <string>
#include <vector>

#include "rt/base/crc32.h"
#include "rt/step/rows.h"
#include "rt/step/state.h"
#include "tests/fuzz/support/exact_bytes.h"
#include "tests/fuzz/support/mutator.h"
#include "tests/fuzz/support/require.h"
#include "tests/fuzz/support/state_model.h"

namespace nbl {
namespace {

std::vector<std::byte>& stored_rows() {
  static std::vector<std::byte> rows;
  return rows;
}

}  // namespace

// rt/step/rows.h without a device: these stand in place of rows.cpp.
Status load_rows(const Stepper& s, uint32_t position, std::span<const std::byte> rows, Error*) {
  fuzz::require(position == 0 && rows.size() % s.plan->row_bytes == 0, "rows are whole");
  stored_rows().assign(rows.begin(), rows.end());
  return {};
}
Status save_rows(const Stepper&, uint32_t, std::span<std::byte> rows, Error*) {
  fuzz::require(rows.size() == stored_rows().size(), "as many rows are saved as were loaded");
  if (!rows.empty()) std::memcpy(rows.data(), stored_rows().data(), rows.size());
  return {};
}
Status restart(const Stepper&, Sequence*, Error*) {
  std::abort();
}
Status slide(const Stepper&, Sequence*, Error*) {
  std::abort();
}

namespace fuzz {
namespace {

void fix(std::string* state) {
  StateHeader header{};
  if (state->size() < sizeof header) return;
  std::memcpy(&header, state->data(), sizeof header);
  Crc32 crc;
  crc.update(std::as_bytes(std::span(&header, 1)).first(offsetof(StateHeader, crc32)));
  if (header.bytes < sizeof header || header.bytes > state->size()) return;
  crc.update(std::as_bytes(std::span(*state)).first(header.bytes).subspan(sizeof header));
  header.crc32 = crc.value();
  std::memcpy(state->data(), &header, sizeof header);
}

void mutate_state(std::string* state, size_t most, Dice* dice) {
  StateHeader header{};
  if (dice->one_in(20) || state->size() < sizeof header) return mutate_bytes(state, most);
  const StateModel& model = state_model();
  const uint64_t position_bytes = sizeof(uint32_t) + model.plan.row_bytes;
  if (dice->one_in(3)) {
    // Another number of positions, of the size that it should have.
    header.position = static_cast<uint32_t>(dice->below(model.plan.options.context + 3));
    state->resize(sizeof header + header.position * position_bytes);
    const uint32_t position = header.position;
    std::memcpy(&header, state->data(), sizeof header);
    header.position = position;
    header.bytes = state->size();
    std::memcpy(state->data(), &header, sizeof header);
  } else {
    // A word of the header, or one behind it.
    const size_t words = dice->one_in(3) ? state->size() / 4 : sizeof header / 4;
    uint32_t word = 0;
    char* const at = state->data() + 4 * dice->below(words);
    std::memcpy(&word, at, sizeof word);
    word = static_cast<uint32_t>(dice->number(word));
    std::memcpy(at, &word, sizeof word);
  }
  if (!dice->one_in(30)) fix(state);
}

void check_loaded(const Stepper& stepper, const Sequence& sequence,
                  std::span<const std::byte> given) {
  require(sequence.position <= stepper.plan->options.context, "positions are in the context");
  require(sequence.next < stepper.plan->vocab_size, "the next token is in the vocabulary");
  Error error;
  require(check_sampling(sequence.sampling, &error).ok(), "sampling parameters are right");
  for (uint32_t i = 0; i < sequence.position; ++i)
    require(stepper.recording->tokens[i] < stepper.plan->vocab_size,
            "tokens are in the vocabulary");
  const uint64_t bytes = state_bytes(stepper, sequence);
  const ExactBytes again(bytes);
  require(save_state(stepper, sequence, again.span(), &error).ok(), "what was loaded can be saved");
  StateHeader first{}, second{};
  std::memcpy(&first, given.data(), sizeof first);
  std::memcpy(&second, again.span().data(), sizeof second);
  require(second.bytes == first.bytes && second.position == first.position, "sizes stay");
  require(std::memcmp(again.span().data() + sizeof second, given.data() + sizeof first,
                      bytes - sizeof second) == 0,
          "tokens and rows stay");
}

}  // namespace
}  // namespace fuzz
}  // namespace nbl

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nbl;
  using namespace nbl::fuzz;
  const StateModel& model = state_model();
  static std::vector<uint32_t> tokens(model.plan.options.context);
  Recording recording;
  recording.tokens = tokens;
  const Stepper stepper{.model = &model.model,
                        .plan = &model.plan,
                        .device = nullptr,
                        .recording = &recording,
                        .timeout_ms = 1,
                        .on_full = OnFull::error};
  const ExactBytes state(data, size);
  Sequence sequence;
  sequence.position = 1;
  sequence.next = 77;
  Error error;
  if (load_state(stepper, state.span(), &sequence, &error).ok()) {
    check_loaded(stepper, sequence, state.span());
    return 0;
  }
  require(sequence.position == 1 && sequence.next == 77, "a state that is refused changes nothing");
  char text[256];
  require(describe(error, text, sizeof text) > 0, "what is refused has a sentence");
  return 0;
}

NBL_FUZZ_MUTATOR(mutate_state)
