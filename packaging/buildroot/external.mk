include $(sort $(wildcard $(BR2_EXTERNAL_NIBBLE_PATH)/package/*/*.mk))
