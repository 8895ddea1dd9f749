SUMMARY = "4-bit language models on embedded GPUs through Vulkan"
DESCRIPTION = "The runtime library for the target, and nibblec for the build machine."
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

inherit cmake pkgconfig externalsrc

EXTERNALSRC = "${@os.path.realpath(d.getVar('NIBBLE_SOURCE'))}"
EXTERNALSRC_BUILD = "${WORKDIR}/build"

# flatc runs on the build machine; of FlatBuffers and Vulkan the target takes headers only.
DEPENDS = "flatbuffers flatbuffers-native vulkan-headers"

# The SDK's programs are position-independent, so the library is.
EXTRA_OECMAKE = "-DNIBBLE_TESTS=OFF -DNIBBLE_BENCHMARKS=OFF -DNIBBLE_EXAMPLES=OFF -DNIBBLE_PIC=ON"

# nibblec, nibble-run and nibble-bench: for the build machine by default, since that compiles models.
PACKAGECONFIG ??= ""
PACKAGECONFIG:class-native = "tools"
PACKAGECONFIG:class-nativesdk = "tools"
PACKAGECONFIG[tools] = "-DNIBBLE_HOST_TOOLS=ON,-DNIBBLE_HOST_TOOLS=OFF,fmt nlohmann-json cli11 openssl libzip"

# A static library and headers: all of it is in -dev and -staticdev.
ALLOW_EMPTY:${PN} = "1"

BBCLASSEXTEND = "native nativesdk"
