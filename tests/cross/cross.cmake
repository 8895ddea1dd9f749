# What a build for another machine adds to the suites: a model that the build machine has compiled is loaded
# and goes on as it does there (scripts/cross). Programs run through CMAKE_CROSSCOMPILING_EMULATOR.
set(NIBBLE_CROSS_MODEL "" CACHE FILEPATH "A model for the target to run")
set(NIBBLE_CROSS_PROMPT "" CACHE STRING "Its token ids")
set(NIBBLE_CROSS_ANSWER "" CACHE STRING "What the build machine goes on with")
set(NIBBLE_CROSS_FAKE_MODELS "" CACHE PATH "What write_fake_models of the build machine has written")
if(NIBBLE_CROSS_FAKE_MODELS AND NOT NIBBLE_HOST_TOOLS)
  nibble_test_folder(test_fake fake nibble_boards)
  target_sources(test_fake PRIVATE fake/read_models.cpp)
  set_tests_properties(test_fake PROPERTIES
    ENVIRONMENT NIBBLE_FAKE_MODELS=${NIBBLE_CROSS_FAKE_MODELS})
endif()
if(NIBBLE_CROSS_MODEL)
  set_tests_properties(test_load PROPERTIES ENVIRONMENT NIBBLE_TEST_MODEL=${NIBBLE_CROSS_MODEL})
endif()
if(TARGET test_kernels)
  set_tests_properties(test_kernels PROPERTIES ENVIRONMENT "NIBBLE_TEST_CAPS=device floor")
endif()
if(NIBBLE_CROSS_ANSWER)
  add_test(NAME cross.goes_on_as_the_build_machine_does
    COMMAND minimal ${NIBBLE_CROSS_MODEL} ${NIBBLE_CROSS_PROMPT})
  set_tests_properties(cross.goes_on_as_the_build_machine_does PROPERTIES LABELS cross
    ENVIRONMENT NIBBLE_TIMEOUT_MS=1200000
    PASS_REGULAR_EXPRESSION "^${NIBBLE_CROSS_ANSWER}\n$")
endif()
