#include "tests/fuzz/support/gguf_mutator.h"

#include <cstring>
#include <optional>
#include <vector>

#include "compiler/import/gguf_format.h"

namespace nbl::fuzz {
namespace {

using compiler::GgufType;

struct Key {
  std::string name;
  uint32_t type;
  std::string value;  // as the file has it, lengths and counts included
};

struct TensorEntry {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type;
  uint64_t offset;
};

struct File {
  uint32_t version;
  std::vector<Key> keys;
  std::vector<TensorEntry> tensors;
  std::string data;
};

class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t at() const { return at_; }
  template <typename T>
  T number() {
    T value{};
    const std::string bytes = take(sizeof value);
    if (ok_) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::string take(uint64_t count) {
    ok_ = ok_ && count <= bytes_.size() - at_;
    if (!ok_) return {};
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  std::string text() { return take(number<uint64_t>()); }

  // The bytes of a value.
  std::string value(uint32_t type, int depth) {
    const size_t begin = at_;
    skip(type, depth);
    return bytes_.substr(begin, at_ - begin);
  }

 private:
  void skip(uint32_t type, int depth) {
    if (type >= compiler::kGgufTypeCount || depth > 3) {
      ok_ = false;
    } else if (type == static_cast<uint32_t>(GgufType::string)) {
      text();
    } else if (type == static_cast<uint32_t>(GgufType::array)) {
      const uint32_t element = number<uint32_t>();
      const uint64_t count = number<uint64_t>();
      for (uint64_t i = 0; i < count && ok_; ++i)
        skip(element, depth + 1);
    } else {
      take(compiler::kGgufTypeBytes[type]);
    }
  }

  const std::string& bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

template <typename T>
void append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}
void append_text(std::string* out, const std::string& text) {
  append(out, uint64_t{text.size()});
  *out += text;
}

std::optional<File> parse(const std::string& bytes) {
  Reader reader(bytes);
  if (reader.take(4) != "GGUF") return std::nullopt;
  File file{.version = reader.number<uint32_t>(), .keys = {}, .tensors = {}, .data = {}};
  const uint64_t tensors = reader.number<uint64_t>();
  const uint64_t keys = reader.number<uint64_t>();
  for (uint64_t i = 0; i < keys && reader.ok(); ++i) {
    Key key{.name = reader.text(), .type = reader.number<uint32_t>(), .value = {}};
    key.value = reader.value(key.type, 0);
    file.keys.push_back(std::move(key));
  }
  for (uint64_t i = 0; i < tensors && reader.ok(); ++i) {
    TensorEntry tensor{.name = reader.text(), .dims = {}, .type = 0, .offset = 0};
    const uint32_t rank = reader.number<uint32_t>();
    for (uint32_t axis = 0; axis < rank && reader.ok(); ++axis)
      tensor.dims.push_back(reader.number<uint64_t>());
    tensor.type = reader.number<uint32_t>();
    tensor.offset = reader.number<uint64_t>();
    file.tensors.push_back(std::move(tensor));
  }
  if (!reader.ok()) return std::nullopt;
  const size_t data = (reader.at() + 31) / 32 * 32;
  if (data < bytes.size()) file.data = bytes.substr(data);
  return file;
}

std::string written(const File& file) {
  std::string out = "GGUF";
  append(&out, file.version);
  append(&out, uint64_t{file.tensors.size()});
  append(&out, uint64_t{file.keys.size()});
  for (const Key& key : file.keys) {
    append_text(&out, key.name);
    append(&out, key.type);
    out += key.value;
  }
  for (const TensorEntry& tensor : file.tensors) {
    append_text(&out, tensor.name);
    append(&out, static_cast<uint32_t>(tensor.dims.size()));
    for (const uint64_t dim : tensor.dims)
      append(&out, dim);
    append(&out, tensor.type);
    append(&out, tensor.offset);
  }
  out.resize((out.size() + 31) / 32 * 32);
  return out + file.data;
}

void change_value(Key* key, Dice* dice) {
  const auto number = [&](size_t at, size_t bytes) {
    if (key->value.size() < at + bytes) return;
    uint64_t value = 0;
    std::memcpy(&value, &key->value[at], bytes);
    value = dice->number(value);
    std::memcpy(&key->value[at], &value, bytes);
  };
  if (key->type == static_cast<uint32_t>(GgufType::string)) {
    std::string text = key->value.substr(8);
    mutate_bytes(&text, 0);
    key->value.clear();
    append_text(&key->value, text);
  } else if (key->type == static_cast<uint32_t>(GgufType::array)) {
    const size_t words = key->value.size() / 4;
    if (dice->one_in(4)) return number(dice->one_in(2) ? 0 : 4, 4);
    if (dice->one_in(8)) return mutate_bytes(&key->value, 0);
    number(12 + 4 * dice->below(words), 4);
  } else {
    number(0, key->value.size());
  }
}

// A number in place of another kind of value.
void change_type(Key* key, Dice* dice) {
  key->type = static_cast<uint32_t>(dice->below(compiler::kGgufTypeCount));
  const uint32_t bytes = compiler::kGgufTypeBytes[key->type];
  if (bytes != 0) {
    key->value.resize(bytes);
  } else {
    key->value.assign(12, '\0');
  }
}

void change_key(File* file, Dice* dice) {
  if (file->keys.empty()) return;
  const size_t at = dice->below(file->keys.size());
  Key& key = file->keys[at];
  Key& other = dice->of(file->keys);
  switch (dice->below(8)) {
    case 0:
      file->keys.erase(file->keys.begin() + static_cast<std::ptrdiff_t>(at));
      return;
    case 1:
      return mutate_bytes(&key.name, 0);
    case 2:
      return std::swap(key.name, other.name);
    case 3:
      key.type = other.type;
      key.value = other.value;
      return;
    case 4:
      return change_type(&key, dice);
    default:
      change_value(&key, dice);
  }
}

void change_tensor(File* file, Dice* dice) {
  if (file->tensors.empty()) return;
  const size_t at = dice->below(file->tensors.size());
  TensorEntry& tensor = file->tensors[at];
  TensorEntry& other = dice->of(file->tensors);
  switch (dice->below(9)) {
    case 0:
      file->tensors.erase(file->tensors.begin() + static_cast<std::ptrdiff_t>(at));
      return;
    case 1:
      return mutate_bytes(&tensor.name, 0);
    case 2:
      return std::swap(tensor.name, other.name);
    case 3:
      tensor.type = compiler::kGgmlTypeIds[dice->below(compiler::kSourceTypeCount)];
      return;
    case 4:
      tensor.type = static_cast<uint32_t>(dice->number(tensor.type));
      return;
    case 5:
      tensor.offset = dice->one_in(2) ? other.offset : dice->number(tensor.offset / 32) * 32;
      return;
    case 6:
      tensor.dims.resize(dice->below(6), 1);
      return;
    default:
      if (!tensor.dims.empty()) {
        uint64_t& dim = dice->of(tensor.dims);
        dim = dice->number(dim);
      }
  }
}

// One size wherever it stands: in keys, and in the shapes of tensors.
void rescale(File* file, Dice* dice) {
  if (file->tensors.empty()) return;
  const TensorEntry& some = dice->of(file->tensors);
  if (some.dims.empty()) return;
  const uint64_t from = some.dims[dice->below(some.dims.size())];
  const uint64_t to = dice->one_in(2) ? dice->number(from) : from / 2 + dice->below(2 * from + 1);
  for (TensorEntry& tensor : file->tensors) {
    for (uint64_t& dim : tensor.dims)
      dim = dim == from ? to : dim;
  }
  for (Key& key : file->keys) {
    uint32_t value = 0;
    if (key.value.size() != sizeof value) continue;
    std::memcpy(&value, key.value.data(), sizeof value);
    const auto small = static_cast<uint32_t>(to);
    if (value == from) std::memcpy(key.value.data(), &small, sizeof small);
  }
}

}  // namespace

void mutate_gguf(std::string* bytes, size_t most, Dice* dice) {
  std::optional<File> file;
  if (!dice->one_in(20)) file = parse(*bytes);
  if (!file) return mutate_bytes(bytes, most);
  for (size_t changes = 1 + dice->below(3); changes > 0; --changes) {
    switch (dice->below(8)) {
      case 0:
        mutate_bytes(&file->data, 0);
        break;
      case 1:
        rescale(&*file, dice);
        break;
      case 2:
      case 3:
      case 4:
        change_tensor(&*file, dice);
        break;
      default:
        change_key(&*file, dice);
    }
  }
  *bytes = written(*file);
  if (dice->one_in(40)) bytes->resize(dice->below(bytes->size()) + 1);
}

}  // namespace nbl::fuzz
