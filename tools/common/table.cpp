#include "tools/common/table.h"

#include <algorithm>

namespace nbl::tools {
namespace {

std::string markdown_cell(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c == '\n' || c == '\r' ? ' ' : c;
  }
  return escaped;
}

// Characters, where the bytes are UTF-8.
size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string aligned_table(const Row& header, const std::vector<Row>& rows, size_t names) {
  std::vector<Row> cells = {header};
  cells.insert(cells.end(), rows.begin(), rows.end());
  std::vector<size_t> widths(header.size(), 4);  // room for the dashes
  for (Row& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = markdown_cell(row[i]);
      widths[i] = std::max(widths[i], width(row[i]));
    }
  }
  std::string text;
  for (size_t line = 0; line < cells.size(); ++line) {
    for (size_t i = 0; i < header.size(); ++i) {
      const std::string space(widths[i] - width(cells[line][i]), ' ');
      text += "| " + (i < names ? cells[line][i] + space : space + cells[line][i]) + " ";
    }
    text += "|\n";
    if (line > 0) continue;
    for (size_t i = 0; i < header.size(); ++i)
      text += "| " + std::string(widths[i] - 1, '-') + (i < names ? "- " : ": ");
    text += "|\n";
  }
  return text;
}

std::string tsv_line(const Row& cells) {
  std::string text;
  for (const std::string& cell : cells) {
    if (&cell != &cells.front()) text += '\t';
    for (const char c : cell)
      text += c == '\t' || c == '\n' || c == '\r' ? ' ' : c;
  }
  return text + '\n';
}

}  // namespace nbl::tools
