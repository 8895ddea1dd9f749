################################################################################
#
# nibble
#
################################################################################

NIBBLE_VERSION = 0.1.0
# The checkout that this tree lies in.
NIBBLE_SITE = $(realpath $(BR2_EXTERNAL_NIBBLE_PATH)/../..)
NIBBLE_SITE_METHOD = local
NIBBLE_LICENSE = Apache-2.0
NIBBLE_LICENSE_FILES = LICENSE
NIBBLE_INSTALL_STAGING = YES
# Nothing of it is in the image but what programs link.
NIBBLE_INSTALL_TARGET = NO
NIBBLE_DEPENDENCIES = host-flatbuffers flatbuffers vulkan-headers
NIBBLE_CONF_OPTS = \
	-DNIBBLE_HOST_TOOLS=OFF \
	-DNIBBLE_TESTS=OFF \
	-DNIBBLE_BENCHMARKS=OFF \
	-DNIBBLE_EXAMPLES=OFF \
	-DNIBBLE_PIC=ON

$(eval $(cmake-package))
