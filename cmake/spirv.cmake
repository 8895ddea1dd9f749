# Nothing needs a shader compiler to build: the SPIR-V words are committed under spirv/words.
find_program(GLSLC glslc)
find_program(SPIRV_VAL spirv-val)
