#include "tests/fuzz/support/model_mutator.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "fuzz/schema_generated.h"
#include "rt/base/crc32.h"
#include "rt/model/file.h"
#include "rt/model/function.h"
#include "rt/model/model.h"
#include "tests/fuzz/support/graph_places.h"

namespace nbl::fuzz {
namespace {

constexpr size_t kPage = 4096;

// Every name that the format knows, and one that it does not.
std::string any_name(Dice* dice) {
  static constexpr std::span<const std::string_view> kLists[] = {
      kOpKindNames,        kRoleNames,     kDTypeNames,   kLayoutNames,
      kTokenizerKindNames, kSplitterNames, kFunctionNames};
  const std::span<const std::string_view> list = dice->of(kLists);
  const size_t index = dice->below(list.size() + 1);
  return index == list.size() ? "unknown" : std::string(list[index]);
}

FileHeader header_of(const std::string& file) {
  FileHeader header{};
  std::memcpy(&header, file.data(), sizeof header);
  return header;
}

std::span<uint8_t> graph_of(std::string* file) {
  if (file->size() < sizeof(FileHeader)) return {};
  const FileHeader header = header_of(*file);
  const std::span<uint8_t> all(reinterpret_cast<uint8_t*>(file->data()), file->size());
  if (header.graph_offset > all.size() || header.graph_bytes > all.size() - header.graph_offset)
    return {};
  return all.subspan(header.graph_offset, header.graph_bytes);
}

uint64_t read(const Place& place) {
  uint64_t value = 0;
  std::memcpy(&value, place.at, place.bytes);
  return value;
}

void write(const Place& place, uint64_t value) {
  std::memcpy(place.at, &value, place.bytes);
}

void change_place(const std::vector<Place>& places, Dice* dice) {
  const Place& place = dice->of(places);
  const Place& other = dice->of(places);
  if (place.kind == PlaceKind::offset && other.kind == PlaceKind::offset && !dice->one_in(3)) {
    // To where the other one leads.
    write(place, static_cast<uint64_t>(other.at - place.at) + read(other));
  } else if (place.bytes == other.bytes && dice->one_in(4)) {
    const uint64_t value = read(place);
    write(place, read(other));
    write(other, value);
  } else {
    write(place, dice->number(read(place)));
  }
}

template <typename Element>
void edit_list(std::vector<Element>* list, Dice* dice, const auto& copy) {
  const size_t size = list->size();
  if (size == 0) return;
  const size_t at = dice->below(size);
  switch (dice->below(4)) {
    case 0:
      list->insert(list->begin() + static_cast<std::ptrdiff_t>(dice->below(size + 1)),
                   copy((*list)[at]));
      break;
    case 1:
      list->erase(list->begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 2:
      std::swap((*list)[at], (*list)[dice->below(size)]);
      break;
    default:
      list->resize(dice->below(2 * size + 1) + 1);
      for (Element& element : *list) {
        if constexpr (requires { element == nullptr; }) {
          if (element == nullptr) element = copy((*list)[0]);
        }
      }
  }
}

template <typename Number>
void edit_numbers(std::vector<Number>* list, Dice* dice) {
  if (list->empty() || dice->one_in(3)) {
    if (list->empty()) list->push_back(0);
    return edit_list(list, dice, [](const Number& number) { return number; });
  }
  Number& number = dice->of(*list);
  if constexpr (std::is_floating_point_v<Number>) {
    number = static_cast<Number>(static_cast<int>(dice->below(64)) - 32);
  } else {
    number = static_cast<Number>(dice->number(static_cast<uint64_t>(number)));
  }
}

void edit_text(std::string* text, Dice* dice) {
  if (dice->one_in(4)) return mutate_bytes(text, 0);
  *text = any_name(dice);
}

void edit_tensor(fb::TensorT* t, Dice* dice) {
  switch (dice->below(8)) {
    case 0:
      return edit_text(&t->role, dice);
    case 1:
      return edit_text(&t->dtype, dice);
    case 2:
      return edit_text(&t->layout, dice);
    case 3:
      t->group_size = static_cast<uint32_t>(8u << dice->below(7));
      return;
    case 4:
      t->data = static_cast<int32_t>(dice->number(static_cast<uint64_t>(t->data)));
      return;
    case 5:
      return edit_text(&t->scale_dtype, dice);
    default:
      return edit_numbers(&t->shape, dice);
  }
}

void edit_op(fb::OpT* op, size_t tensors, Dice* dice) {
  const auto any = [&] { return static_cast<int32_t>(dice->below(tensors + 2)) - 1; };
  const auto small = [&](uint32_t* value) { *value = static_cast<uint32_t>(dice->number(*value)); };
  switch (dice->below(14)) {
    case 0:
      return edit_text(&op->kind, dice);
    case 1:
      return edit_text(&op->function, dice);
    case 2:
    case 3:
      if (!op->inputs.empty()) dice->of(op->inputs) = any();
      return;
    case 4:
      if (!op->outputs.empty()) dice->of(op->outputs) = any();
      return;
    case 5:
      return edit_numbers(dice->one_in(2) ? &op->inputs : &op->outputs, dice);
    case 6:
      return small(&op->heads);
    case 7:
      return small(&op->kv_heads);
    case 8:
      return small(&op->head_dim);
    case 9:
      return small(&op->rotary_dim);
    case 10:
      return small(&op->window);
    case 11:
      return small(&op->offset);
    case 12:
      (dice->one_in(2) ? op->alpha : op->softcap) = static_cast<float>(dice->below(9)) - 2;
      return;
    default:
      bool* const flags[] = {&op->rope_half, &op->swiglu, &op->last_row, &op->full};
      bool* const flag = flags[dice->below(4)];
      *flag = !*flag;
  }
}

void edit_tokenizer(fb::TokenizerT* t, Dice* dice) {
  std::vector<uint32_t>* const lists[] = {&t->offsets,     &t->sorted,       &t->merge_first,
                                          &t->merge_right, &t->merge_result, &t->merge_rank};
  int32_t* const ids[] = {&t->bos, &t->eos, &t->unknown};
  switch (dice->below(8)) {
    case 0:
      return edit_numbers(&t->pieces, dice);
    case 1:
      return edit_numbers(&t->types, dice);
    case 2:
      return edit_numbers(&t->scores, dice);
    case 3:
      return edit_numbers(&t->byte_tokens, dice);
    case 4:
      return edit_text(dice->one_in(2) ? &t->kind : &t->splitter, dice);
    case 5:
      *ids[dice->below(3)] = static_cast<int32_t>(dice->below(t->types.size() + 2)) - 1;
      return;
    case 6:
      t->whole_words = !t->whole_words;
      return;
    default:
      return edit_numbers(lists[dice->below(6)], dice);
  }
}

// A size that stands in many shapes, in all of them.
void rescale(fb::ModelT* model, Dice* dice) {
  if (model->tensors.empty()) return;
  const fb::TensorT& some = *dice->of(model->tensors);
  if (some.shape.empty()) return;
  const uint32_t from = some.shape[dice->below(some.shape.size())];
  const auto to = static_cast<uint32_t>(dice->number(from));
  for (const auto& tensor : model->tensors)
    std::replace(tensor->shape.begin(), tensor->shape.end(), from, to);
  if (model->context_length == from) model->context_length = to;
  if (model->vocab_size == from) model->vocab_size = to;
}

void edit(fb::ModelT* m, Dice* dice) {
  const auto copy = [](const auto& of) {
    using Table = std::remove_cvref_t<decltype(*of)>;
    return of == nullptr ? std::make_unique<Table>() : std::make_unique<Table>(*of);
  };
  const auto number = [&](uint32_t* value) {
    *value = static_cast<uint32_t>(dice->number(*value));
  };
  switch (dice->below(16)) {
    case 0:
      return edit_list(&m->tensors, dice, copy);
    case 1:
      return edit_list(&m->ops, dice, copy);
    case 2:
      return edit_list(&m->segments, dice, copy);
    case 3:
    case 4:
      if (!m->tensors.empty()) edit_tensor(dice->of(m->tensors).get(), dice);
      return;
    case 5:
    case 6:
    case 7:
      if (!m->ops.empty()) edit_op(dice->of(m->ops).get(), m->tensors.size(), dice);
      return;
    case 8:
      if (!m->segments.empty()) {
        fb::SegmentT& s = *dice->of(m->segments);
        if (dice->one_in(2)) {
          s.offset = dice->number(s.offset / kPage) * kPage;
        } else {
          s.size = dice->number(s.size);
        }
      }
      return;
    case 9:
    case 10:
      if (m->tokenizer) edit_tokenizer(m->tokenizer.get(), dice);
      return;
    case 11:
      if (!m->chat_texts.empty()) edit_text(&dice->of(m->chat_texts), dice);
      m->chat_flags = static_cast<uint32_t>(dice->below(300));
      return;
    case 12:
      if (m->prefix) edit_numbers(&m->prefix->tokens, dice);
      if (m->prefix && dice->one_in(3)) m->prefix->rows->size = dice->number(m->prefix->rows->size);
      return;
    case 13:
      number(dice->one_in(2) ? &m->prefill_chunk : &m->context_length);
      return;
    case 14:
      edit_numbers(&m->stop_tokens, dice);
      return;
    default:
      rescale(m, dice);
  }
}

// The same weights behind another graph.
void replace_graph(std::string* file, fb::ModelT* model) {
  const FileHeader header = header_of(*file);
  const auto page_after = [](uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; };
  const uint64_t old_start = page_after(header.graph_offset + header.graph_bytes);
  const auto pack = [&] {
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(fb::Model::Pack(builder, model), fb::ModelIdentifier());
    return std::string(reinterpret_cast<const char*>(builder.GetBufferPointer()),
                       builder.GetSize());
  };
  std::string graph = pack();
  const uint64_t start = page_after(sizeof header + graph.size());
  const auto move = [&](fb::SegmentT* segment) {
    if (segment != nullptr && segment->offset != 0) segment->offset += start - old_start;
  };
  for (const auto& segment : model->segments)
    move(segment.get());
  if (model->prefix) move(model->prefix->rows.get());
  graph = pack();
  FileHeader changed = header;
  changed.graph_offset = sizeof header;
  changed.graph_bytes = graph.size();
  std::string out(reinterpret_cast<const char*>(&changed), sizeof changed);
  out += graph;
  out.resize(start);
  if (old_start < file->size()) out += file->substr(old_start);
  *file = std::move(out);
}

bool mutate_graph(std::string* file, Dice* dice) {
  const std::span<uint8_t> graph = graph_of(file);
  const std::vector<Place> places = places_of(graph);
  if (places.empty()) return false;
  if (dice->one_in(3)) {
    for (size_t changes = 1 + dice->below(3); changes > 0; --changes)
      change_place(places, dice);
    return true;
  }
  fb::ModelT model;
  fb::GetModel(graph.data())->UnPackTo(&model);
  for (size_t changes = 1 + dice->below(3); changes > 0; --changes)
    edit(&model, dice);
  replace_graph(file, &model);
  return true;
}

}  // namespace

void fix_checksums(std::string* file) {
  const std::span<uint8_t> graph = graph_of(file);
  if (graph.empty()) return;
  FileHeader header = header_of(*file);
  header.file_bytes = file->size();
  header.graph_crc32 = crc32(std::as_bytes(graph));
  header.header_crc32 =
      crc32(std::as_bytes(std::span(&header, 1)).first(offsetof(FileHeader, header_crc32)));
  std::memcpy(file->data(), &header, sizeof header);
}

void mutate_model(std::string* file, size_t most, Dice* dice) {
  if (dice->one_in(20) || !mutate_graph(file, dice)) mutate_bytes(file, most);
  if (dice->one_in(50) && file->size() > 64) file->resize(dice->below(file->size()));
  if (!dice->one_in(30)) fix_checksums(file);
}

}  // namespace nbl::fuzz
