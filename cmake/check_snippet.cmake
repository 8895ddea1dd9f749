# Fails unless DOCUMENT holds the whole file SNIPPET in a ```c block.
file(READ ${DOCUMENT} document)
file(READ ${SNIPPET} snippet)
string(FIND "${document}" "```c\n${snippet}```" position)
if(position EQUAL -1)
  message(FATAL_ERROR "${DOCUMENT} does not show ${SNIPPET} as it is: copy it into a ```c block")
endif()
