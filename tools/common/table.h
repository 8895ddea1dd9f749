// Text tables for people and for programs.
#pragma once

#include <string>
#include <vector>

namespace nbl::tools {

using Row = std::vector<std::string>;

// A Markdown table whose columns are aligned as plain text, too. The first `names` columns are
// flushed left, the figures after them right.
//
// Shapes  rows: each as long as header.
std::string aligned_table(const Row& header, const std::vector<Row>& rows, size_t names);

// One line: the cells with tabs between them. Tabs and line ends in a cell become spaces.
std::string tsv_line(const Row& cells);

}  // namespace nbl::tools
