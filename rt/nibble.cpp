// The C API of rt/nibble.h over the engine: arguments in, statuses out.
#include "rt/nibble.h"

#include <cstddef>
#include <cstring>

#include "rt/engine.h"
#include "rt/step/rows.h"
#include "rt/step/state.h"
#include "rt/text/chat.h"
#include "rt/text/detokenize.h"
#include "rt/text/encode.h"
#include "rt/text/stop.h"

struct nbl_engine : nbl::Engine {};

namespace nbl {
namespace {

nbl_status report(Status status, const Error& error, nbl_error* out) {
  if (!status.ok() && out != nullptr) {
    out->status = status.bits();
    out->value = error.value;
    out->limit = error.limit;
    memcpy(out->name, error.name, sizeof out->name);
  }
  return status.bits();
}

// True for failures after which the device's state is not known.
bool fatal(Code code) {
  return code == Code::device_lost || code == Code::gpu_timeout || code == Code::gpu_stalled ||
         code == Code::matrix_layout || code == Code::vulkan_call || code == Code::driver_pool_full;
}

using Work = Status (*)(const void* context, Error* error);

nbl_status run_on(nbl_engine* engine, nbl_error* out, Work work, const void* context) {
  Error error;
  if (engine == nullptr) {
    return report(fail(&error, Code::missing_argument, 0, "engine"), error, out);
  }
  if (engine->dead) {
    return report(fail(&error, Code::engine_dead, 0, engine->dead_call), error, out);
  }
  const Status status = work(context, &error);
  if (fatal(status.code())) {
    engine->dead = true;
    memcpy(engine->dead_call, error.name, sizeof engine->dead_call);
  }
  return report(status, error, out);
}

// Runs `work` unless the engine is dead, and lets it die of a device error.
template <typename Lambda>
nbl_status run(nbl_engine* engine, nbl_error* out, const Lambda& work) {
  const Work call = [](const void* context, Error* error) -> Status {
    return (*static_cast<const Lambda*>(context))(error);
  };
  return run_on(engine, out, call, &work);
}

nbl_status missing(const char* name, nbl_error* out) {
  Error error;
  return report(fail(&error, Code::missing_argument, 0, name), error, out);
}

Status tokenizer_of(const nbl_engine* engine, TokenizerTables* tables, Error* error) {
  if (engine == nullptr) return fail(error, Code::missing_argument, 0, "engine");
  if (!engine->model.tokenizer(tables)) return fail(error, Code::no_tokenizer, 0, {});
  return {};
}

static_assert(sizeof(Decoder) == sizeof(nbl_decoder));
static_assert(sizeof(StopState) == sizeof(nbl_stop));
static_assert(offsetof(StopState, marks) == offsetof(nbl_stop, marks));
static_assert(kMaxStopTexts == NBL_MAX_STOP_TEXTS && kMaxStopBytes == NBL_MAX_STOP_BYTES);
static_assert(sizeof(ChatState) == sizeof(nbl_chat));
static_assert(kChatSystem == NBL_CHAT_SYSTEM && kChatUser == NBL_CHAT_USER &&
              kChatAssistant == NBL_CHAT_ASSISTANT && kChatOpen == NBL_CHAT_OPEN &&
              kChatCut == NBL_CHAT_CUT);
static_assert(sizeof(nbl_error::name) == sizeof(Error::name));

}  // namespace
}  // namespace nbl

using namespace nbl;

size_t nbl_error_text(const nbl_error* error, char* text, size_t text_bytes) {
  if (error == nullptr || text == nullptr) return 0;
  Error copy;
  const uint32_t code = error->status & 0xffu;
  if (code > static_cast<uint32_t>(Code::bad_token_text)) return 0;
  copy.status = Status(static_cast<Code>(code), error->status >> 8);
  copy.value = error->value;
  copy.limit = error->limit;
  memcpy(copy.name, error->name, sizeof copy.name);
  copy.name[sizeof copy.name - 1] = 0;
  return describe(copy, text, text_bytes);
}

const char* nbl_status_name(nbl_status status) {
  const uint32_t code = status & 0xffu;
  if (code > static_cast<uint32_t>(Code::bad_token_text)) return "unknown";
  return code_name(static_cast<Code>(code));
}

nbl_status nbl_memory_needed(const nbl_config* config, nbl_memory* memory, nbl_error* error) {
  if (config == nullptr) return missing("config", error);
  if (memory == nullptr) return missing("memory", error);
  Error facts;
  return report(measure_engine(*config, memory, &facts), facts, error);
}

nbl_status nbl_open(const nbl_config* config, nbl_engine** engine, nbl_error* error) {
  if (config == nullptr) return missing("config", error);
  if (engine == nullptr) return missing("engine", error);
  Error facts;
  Engine* e = nullptr;
  const Status status = open_engine(*config, &e, &facts);
  if (status.ok()) *engine = static_cast<nbl_engine*>(e);
  return report(status, facts, error);
}

void nbl_close(nbl_engine* engine) {
  if (engine != nullptr) close_engine(engine);
}

nbl_status nbl_set_sampling(nbl_engine* engine, const nbl_sampling* sampling, nbl_error* error) {
  if (sampling == nullptr) return missing("sampling", error);
  return run(engine, error, [&](Error* facts) { return set_sampling(engine, *sampling, facts); });
}

nbl_status nbl_set_logit_bias(nbl_engine* engine, const nbl_logit_bias* biases, uint32_t count,
                              nbl_error* error) {
  if (biases == nullptr && count > 0) return missing("biases", error);
  return run(engine, error, [&](Error* facts) {
    return set_logit_bias(engine, {biases, count}, facts);
  });
}

nbl_status nbl_evaluate(nbl_engine* engine, const uint32_t* tokens, uint32_t count,
                        nbl_error* error) {
  if (tokens == nullptr && count > 0) return missing("tokens", error);
  return run(engine, error, [&](Error* facts) {
    return evaluate(engine->stepper(), {tokens, count}, &engine->sequence, facts);
  });
}

nbl_status nbl_next_token(const nbl_engine* engine, uint32_t* token, nbl_error* error) {
  if (engine == nullptr) return missing("engine", error);
  if (token == nullptr) return missing("token", error);
  if (!engine->sequence.has_next) {
    Error facts;
    return report(fail(&facts, Code::nothing_evaluated, 0, {}), facts, error);
  }
  *token = engine->sequence.next;
  return 0;
}

nbl_status nbl_generate(nbl_engine* engine, uint32_t limit, uint32_t* tokens, uint32_t* count,
                        nbl_error* error) {
  if (tokens == nullptr) return missing("tokens", error);
  if (count == nullptr) return missing("count", error);
  return run(engine, error, [&](Error* facts) {
    return generate(engine->stepper(), {tokens, limit}, count, &engine->sequence, facts);
  });
}

uint32_t nbl_position(const nbl_engine* engine) {
  return engine == nullptr ? 0 : engine->sequence.position;
}

nbl_status nbl_rewind(nbl_engine* engine, uint32_t position, nbl_error* error) {
  return run(engine, error, [&](Error* facts) -> Status {
    Sequence& sequence = engine->sequence;
    if (position > sequence.position) {
      return fail(facts, Code::bad_argument, 0, "position", position, sequence.position);
    }
    sequence.position = position;
    if (position == 0) sequence.dropped = 0;
    sequence.has_next = false;
    sequence.logits_rows = 0;
    return {};
  });
}

uint32_t nbl_prefix_length(const nbl_engine* engine) {
  return engine == nullptr ? 0 : static_cast<uint32_t>(engine->model.prefix().size());
}

const uint32_t* nbl_prefix_tokens(const nbl_engine* engine) {
  return engine == nullptr ? nullptr : engine->model.prefix().data();
}

nbl_status nbl_restart(nbl_engine* engine, nbl_error* error) {
  return run(engine, error,
             [&](Error* facts) { return restart(engine->stepper(), &engine->sequence, facts); });
}

uint64_t nbl_state_bytes(const nbl_engine* engine) {
  return engine == nullptr ? 0 : state_bytes(engine->stepper(), engine->sequence);
}

nbl_status nbl_save_state(nbl_engine* engine, void* state, size_t capacity, size_t* bytes,
                          nbl_error* error) {
  if (state == nullptr) return missing("state", error);
  if (bytes == nullptr) return missing("bytes", error);
  return run(engine, error, [&](Error* facts) -> Status {
    NBL_TRY(save_state(engine->stepper(), engine->sequence,
                       {static_cast<std::byte*>(state), capacity}, facts));
    *bytes = static_cast<size_t>(state_bytes(engine->stepper(), engine->sequence));
    return {};
  });
}

nbl_status nbl_load_state(nbl_engine* engine, const void* state, size_t bytes, nbl_error* error) {
  if (state == nullptr) return missing("state", error);
  return run(engine, error, [&](Error* facts) {
    return load_state(engine->stepper(), {static_cast<const std::byte*>(state), bytes},
                      &engine->sequence, facts);
  });
}

nbl_status nbl_logits(nbl_engine* engine, float* logits, size_t logits_count, uint32_t* rows,
                      nbl_error* error) {
  if (logits == nullptr) return missing("logits", error);
  if (rows == nullptr) return missing("rows", error);
  return run(engine, error, [&](Error* facts) {
    return read_logits(engine->stepper(), engine->sequence, {logits, logits_count}, rows, facts);
  });
}

void nbl_get_info(const nbl_engine* engine, nbl_info* info) {
  if (engine == nullptr || info == nullptr) return;
  const Plan& plan = engine->plan;
  *info = {};
  info->model_name = engine->model.name().empty() ? "" : engine->model.name().data();
  info->architecture = engine->model.architecture().data();
  info->device_name = engine->device.caps.name;
  info->vocab_size = plan.vocab_size;
  info->context = plan.options.context;
  info->prefill_chunk = plan.options.prefill_chunk;
  info->max_burst = plan.options.max_burst;
  info->decode_dispatches = static_cast<uint32_t>(plan.decode.dispatches.size());
  info->decode_barriers = plan.decode.barrier_count;
  info->prefill_dispatches = static_cast<uint32_t>(plan.prefill.dispatches.size());
  info->prefill_barriers = plan.prefill.barrier_count;
  info->decode_weight_bytes = plan.decode.weight_bytes;
  TokenizerTables tables{};
  info->has_tokenizer = engine->model.tokenizer(&tables) ? 1 : 0;
  info->has_chat = engine->model.chat(nullptr) ? 1 : 0;
  info->bos = info->has_tokenizer != 0 ? tables.bos : -1;
  info->eos = info->has_tokenizer != 0 ? tables.eos : -1;
  const PoolStats stats = engine->pool.stats();
  info->driver_allocations_setup = static_cast<uint32_t>(engine->setup_allocations);
  info->driver_allocations_after = static_cast<uint32_t>(stats.sealed_requests);
  info->driver_pool_peak = stats.all.peak_bytes;
  info->memory = engine->memory;
  info->dropped_positions = engine->sequence.dropped;
}

int nbl_is_stop_token(const nbl_engine* engine, uint32_t token) {
  return engine != nullptr && is_stop_token(engine->model, token) ? 1 : 0;
}

size_t nbl_tokenize_scratch_bytes(size_t text_bytes) {
  return encode_scratch_bytes(text_bytes);
}

nbl_status nbl_tokenize(const nbl_engine* engine, const char* text, size_t text_bytes,
                        uint32_t flags, void* scratch, size_t scratch_bytes, uint32_t* tokens,
                        size_t capacity, size_t* count, nbl_error* error) {
  if (text == nullptr && text_bytes > 0) return missing("text", error);
  if (scratch == nullptr) return missing("scratch", error);
  if (tokens == nullptr && capacity > 0) return missing("tokens", error);
  if (count == nullptr) return missing("count", error);
  Error facts;
  TokenizerTables tables{};
  Status status = tokenizer_of(engine, &tables, &facts);
  if (status.ok()) {
    const EncodeOptions options{.add_bos = (flags & NBL_TOKENIZE_BOS) != 0,
                                .special = (flags & NBL_TOKENIZE_SPECIAL) != 0};
    status = encode(tables, {text, text_bytes}, options,
                    {static_cast<std::byte*>(scratch), scratch_bytes}, {tokens, capacity}, count,
                    &facts);
  }
  return report(status, facts, error);
}

size_t nbl_max_piece_bytes(const nbl_engine* engine) {
  TokenizerTables tables{};
  return tokenizer_of(engine, &tables, nullptr).ok() ? max_piece_bytes(tables) : 0;
}

nbl_status nbl_detokenize(const nbl_engine* engine, nbl_decoder* decoder, uint32_t token,
                          char* text, size_t text_bytes, size_t* length, nbl_error* error) {
  if (decoder == nullptr) return missing("decoder", error);
  if (text == nullptr) return missing("text", error);
  if (length == nullptr) return missing("length", error);
  Error facts;
  TokenizerTables tables{};
  Status status = tokenizer_of(engine, &tables, &facts);
  if (status.ok()) {
    status = detokenize(tables, reinterpret_cast<Decoder*>(decoder), token, {text, text_bytes},
                        length, &facts);
  }
  return report(status, facts, error);
}

nbl_status nbl_detokenize_flush(nbl_decoder* decoder, char* text, size_t text_bytes, size_t* length,
                                nbl_error* error) {
  if (decoder == nullptr) return missing("decoder", error);
  if (text == nullptr) return missing("text", error);
  if (length == nullptr) return missing("length", error);
  Error facts;
  return report(
      detokenize_flush(reinterpret_cast<Decoder*>(decoder), {text, text_bytes}, length, &facts),
      facts, error);
}

nbl_status nbl_stop_begin(nbl_stop* stop, const char* const* texts, uint32_t count,
                          nbl_error* error) {
  if (stop == nullptr) return missing("stop", error);
  if (texts == nullptr && count > 0) return missing("texts", error);
  Error facts;
  return report(begin_stops({texts, count}, reinterpret_cast<StopState*>(stop), &facts), facts,
                error);
}

nbl_status nbl_stop_put(nbl_stop* stop, const nbl_decoder* decoder, const char* text,
                        size_t text_bytes, char* out, size_t out_bytes, size_t* length,
                        nbl_error* error) {
  if (stop == nullptr) return missing("stop", error);
  if (text == nullptr && text_bytes > 0) return missing("text", error);
  if (out == nullptr) return missing("out", error);
  if (length == nullptr) return missing("length", error);
  const uint32_t pending = decoder == nullptr ? 0 : decoder->held_count;
  Error facts;
  return report(put_text(reinterpret_cast<StopState*>(stop), {text, text_bytes}, pending,
                         {out, out_bytes}, length, &facts),
                facts, error);
}

nbl_status nbl_stop_flush(nbl_stop* stop, char* out, size_t out_bytes, size_t* length,
                          nbl_error* error) {
  if (stop == nullptr) return missing("stop", error);
  if (out == nullptr) return missing("out", error);
  if (length == nullptr) return missing("length", error);
  Error facts;
  return report(flush_text(reinterpret_cast<StopState*>(stop), {out, out_bytes}, length, &facts),
                facts, error);
}

size_t nbl_chat_scratch_bytes(const nbl_engine* engine, size_t text_bytes) {
  ChatTable chat;
  if (engine == nullptr || !engine->model.chat(&chat)) return 0;
  return chat_scratch_bytes(chat.bytes, text_bytes);
}

nbl_status nbl_chat_turn(const nbl_engine* engine, nbl_chat* chat, uint32_t role, const char* text,
                         size_t text_bytes, uint32_t flags, void* scratch, size_t scratch_bytes,
                         uint32_t* tokens, size_t capacity, size_t* count, nbl_error* error) {
  const char* absent = nullptr;
  if (count == nullptr) absent = "count";
  if (tokens == nullptr && capacity > 0) absent = "tokens";
  if (scratch == nullptr) absent = "scratch";
  if (text == nullptr && text_bytes > 0) absent = "text";
  if (chat == nullptr) absent = "chat";
  if (absent != nullptr) return missing(absent, error);
  Error facts;
  TokenizerTables tables{};
  ChatTable table;
  Status status = tokenizer_of(engine, &tables, &facts);
  if (status.ok() && !engine->model.chat(&table)) status = fail(&facts, Code::no_chat, 0, {});
  if (status.ok()) {
    status = chat_turn(tables, table, reinterpret_cast<ChatState*>(chat), role, {text, text_bytes},
                       flags, {static_cast<std::byte*>(scratch), scratch_bytes}, {tokens, capacity},
                       count, &facts);
  }
  return report(status, facts, error);
}

nbl_status nbl_timings(nbl_engine* engine, int prefill, nbl_timing* timings, uint32_t capacity,
                       uint32_t* count, nbl_error* error) {
  if (timings == nullptr) return missing("timings", error);
  if (count == nullptr) return missing("count", error);
  return run(engine, error, [&](Error* facts) {
    return last_timings(*engine, prefill != 0, {timings, capacity}, count, facts);
  });
}
