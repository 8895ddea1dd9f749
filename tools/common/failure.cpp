#include "tools/common/failure.h"

namespace nbl::tools {

void check(nbl_status status, const nbl_error& error) {
  if (status == 0) return;
  char text[512];
  nbl_error_text(&error, text, sizeof text);
  throw Failure(text);
}

}  // namespace nbl::tools
