// Every number, offset and length of a FlatBuffer, found by its schema, so that each can be changed
// where it stands.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nbl::fuzz {

enum class PlaceKind : uint8_t {
  number,
  offset,  // to a table, a vector or a text, forward from where it stands
  length,  // of a vector or a text
  slot,    // of a vtable
};

struct Place {
  uint8_t* at;
  uint8_t bytes;
  PlaceKind kind;
};

// None where the bytes are not those of a right graph. Of a vector's elements the first 64.
//
// Borrows  the graph.
std::vector<Place> places_of(std::span<uint8_t> graph);

}  // namespace nbl::fuzz
