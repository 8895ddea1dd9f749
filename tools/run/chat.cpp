#include "tools/run/chat.h"

#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "tools/common/failure.h"
#include "tools/common/line_reader.h"
#include "tools/run/output.h"

namespace nbl::tools {
namespace {

constexpr size_t kMaxLineBytes = size_t{1} << 16;

class Conversation {
 public:
  Conversation(const Options& options, EngineSession& session)
      : options_(options), session_(session), engine_(session.engine()) {
    if (options.system && !engine_.prefix().empty()) {
      throw Failure("the model starts after a prefix, which takes the place of --system");
    }
    begin();
  }

  // Forgets everything but the system turn: the model's prefix, or one that is evaluated with the
  // first user's.
  void begin() {
    nbl_error error = {};
    check(engine_.restart(&error), error);
    state_ = {};
    cut_ = false;
    pending_.clear();
    if (!engine_.prefix().empty()) {
      (void)write(&state_, NBL_CHAT_SYSTEM, "", 0);
    } else if (options_.system) {
      pending_ = write(&state_, NBL_CHAT_SYSTEM, *options_.system, 0);
    }
  }

  // Evaluates a user's turn. False where it does not fit; the conversation is then as it was.
  bool say(std::string_view text, Statistics* statistics) {
    nbl_chat state = state_;
    std::vector<uint32_t> tokens = pending_;
    const uint32_t flags = NBL_CHAT_OPEN | (cut_ ? uint32_t{NBL_CHAT_CUT} : 0u);
    for (const uint32_t token : write(&state, NBL_CHAT_USER, text, flags))
      tokens.push_back(token);
    const uint32_t room = engine_.info().context - engine_.position();
    if (tokens.size() > room && options_.on_full != "slide") return false;
    const Clock::time_point start = Clock::now();
    evaluate_prompt(engine_, options_, tokens, nullptr);
    statistics->prompt_seconds += seconds_since(start);
    statistics->prompt_count += static_cast<uint32_t>(tokens.size());
    state_ = state;
    pending_.clear();
    return true;
  }

  // Writes the answer. False where the context is full before its end.
  bool answer(Statistics* statistics) {
    Output output(options_, session_);
    output.prompt({}, false);
    Statistics turn;
    const Clock::time_point start = Clock::now();
    generate(engine_, options_, output, turn);
    statistics->decode_seconds += seconds_since(start);
    statistics->generated += turn.generated;
    output.finish();
    cut_ = !turn.stopped || output.stopped();
    if (output.stopped()) {
      // What came behind the stop text was never said.
      nbl_error error = {};
      const uint32_t unsaid = turn.generated - output.kept_tokens();
      check(engine_.rewind(engine_.position() - unsaid, &error), error);
    }
    return !turn.context_full;
  }

 private:
  std::vector<uint32_t> write(nbl_chat* state, uint32_t role, std::string_view text,
                              uint32_t flags) {
    std::vector<std::byte> scratch(engine_.chat_scratch_bytes(text.size()));
    std::vector<uint32_t> tokens(text.size() + 256);
    size_t count = 0;
    nbl_error error = {};
    nbl_status status =
        engine_.chat_turn(state, role, text, flags, scratch, tokens, &count, &error);
    if (std::string_view(nbl_status_name(status)) == "output_too_small") {
      tokens.resize(error.value);
      status = engine_.chat_turn(state, role, text, flags, scratch, tokens, &count, &error);
    }
    check(status, error);
    tokens.resize(count);
    return tokens;
  }

  const Options& options_;
  EngineSession& session_;
  nibble::Engine& engine_;
  nbl_chat state_ = {};
  std::vector<uint32_t> pending_;  // the system turn, until a user's follows
  bool cut_ = false;               // the last answer has no stop token at its end
};

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

void note(const std::string& text) {
  std::fputs(fmt::format("note: {}\n", text).c_str(), stderr);
}

// A session on a terminal can go on.
void context_is_full(uint32_t context, bool terminal) {
  const std::string text = fmt::format("the context of {} positions is full", context);
  if (!terminal) throw Failure(text + ": the session ends");
  note(text + ": /reset begins a new conversation");
}

}  // namespace

int run_chat(const Options& options, EngineSession& session, Statistics* statistics) {
  if (session.engine().info().has_chat == 0) {
    throw Failure(
        "the model has no chat table: compile it with --chat FAMILY where its chat template is "
        "none that nibblec knows, or give whole texts with -p");
  }
  const bool terminal = isatty(STDIN_FILENO) != 0;
  const uint32_t context = session.engine().info().context;
  Conversation conversation(options, session);
  LineReader reader(STDIN_FILENO, kMaxLineBytes);
  std::string line;
  for (;;) {
    interrupted = 0;
    if (terminal) std::fputs("> ", stderr);
    const LineReader::Result result = reader.next(&line);
    if (result == LineReader::Result::by_signal) return kInterruptedExit;
    if (result == LineReader::Result::end || line == "/exit") return 0;
    if (result == LineReader::Result::too_long) {
      note(fmt::format("a line of more than {} bytes was dropped", kMaxLineBytes));
    } else if (line == "/reset") {
      conversation.begin();
    } else if (!is_blank(line)) {
      const bool fits = conversation.say(line, statistics) && conversation.answer(statistics);
      if (!fits) context_is_full(context, terminal);
    }
  }
}

}  // namespace nbl::tools
