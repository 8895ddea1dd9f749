// Ends of a turn or text that files name only by their text.
#pragma once

#include <string_view>

namespace nbl::compiler {

inline constexpr std::string_view kStopTexts[] = {
    "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<EOT>"};

}  // namespace nbl::compiler
